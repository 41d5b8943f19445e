"""Preprocessor and EMRWGAN keep scikit-learn's conventions.

Its own checks run where they need no data or take ours. Of the others the property is tested here
with a table of patients, or it does not apply:

======================================================  ============================================
check of scikit-learn                                   why not
======================================================  ============================================
estimators_unfitted, dict_unchanged, fit_idempotent,    they fit arrays of random numbers; the same
fit2d_1sample, transformer_general                      property is tested below on patients
fit_check_is_fitted, readonly_memmap_input, fit1d       they fit arrays; a table is refused by name
n_features_in, feature_names_in, dtype_object,          columns are found by name in the schema,
complex_data, estimators_nan_inf, sparse_containers     which says what is wrong with a value
sample_weights, class_weight, decision_function         patients have no weights; nothing is
                                                        predicted
methods_sample_order_invariance, subset_invariance      draws follow the rows, by seed
set_output                                              transform returns Encoded, with the layout
estimators_pickle                                       saved by save and load, as JSON and tensors
======================================================  ============================================
"""

import numpy as np
import pandas as pd
import pytest
from sklearn import exceptions
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted
from test_gan import SMALL_MODERN
from toy import toy_patients

import ehrsynth as es

OWN = [es.Preprocessor(), es.EMRWGAN()]


def kind(estimator) -> str:
    return type(estimator).__name__


@pytest.fixture(scope="module")
def train():
    return toy_patients(300)


@pytest.fixture(scope="module")
def encoded(train):
    return es.Preprocessor().fit(train).transform(train)


def gan(**options) -> es.EMRWGAN:
    return es.EMRWGAN(SMALL_MODERN, **{"seed": 3, "steps": 3, "device": "cpu"} | options)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
    ],
)
@pytest.mark.parametrize("estimator", OWN, ids=kind)
def test_a_check_of_scikit_learn(estimator, check):
    check(kind(estimator), clone(estimator))


def test_a_copy_has_the_options_and_nothing_learned(train, encoded):
    for fitted in (es.Preprocessor(bins=7, seed=2).fit(train), gan(seed=5).fit(encoded)):
        copy = clone(fitted)
        assert copy.get_params() == fitted.get_params()
        assert not hasattr(copy, "layout_") and not hasattr(copy, "history_")


def test_before_fit_the_error_is_both_ours_and_theirs(train, tmp_path):
    prep, model = es.Preprocessor(), es.EMRWGAN()
    uses = (
        lambda: prep.transform(train), lambda: prep.clip(train), lambda: prep.save(tmp_path),
        lambda: prep.inverse_transform(None), prep.get_feature_names_out,
        lambda: model.sample(5), lambda: model.probabilities(5),
        lambda: model.save(tmp_path),
    )  # fmt: skip
    for use in uses:
        with pytest.raises(exceptions.NotFittedError, match="call fit") as caught:
            use()
        assert isinstance(caught.value, es.InputError)
    for estimator in (prep, model):
        with pytest.raises(exceptions.NotFittedError):
            check_is_fitted(estimator)


def test_fit_returns_itself_and_changes_no_option(train, encoded):
    for estimator, data in ((es.Preprocessor(), train), (gan(), encoded)):
        before = estimator.get_params()
        assert estimator.fit(data) is estimator
        check_is_fitted(estimator)
        after = estimator.get_params()
        assert all(after[name] is before[name] for name in before)
        learned = set(vars(estimator)) - set(before)
        assert learned and all(name.endswith("_") for name in learned)


def test_a_second_fit_leaves_nothing_of_the_first(train, encoded):
    twice = es.Preprocessor("minmax", "draw").fit(train)
    few = train[["age", "sex", "DIE_1y"]]
    twice.set_params(continuous="bins", missing="category", bins=5).fit(few)
    once = es.Preprocessor(bins=5).fit(few)
    assert set(vars(twice)) == set(vars(once)) and twice.observed_ == {}
    assert twice.layout_ == once.layout_ and twice.cuts_ == once.cuts_

    model = gan().fit(encoded)
    first = model.sample(40).values
    assert np.array_equal(model.fit(encoded).sample(40).values, first)
    model.set_params(condition=False).fit(encoded)
    assert model.conditions_ == [] and len(model.cells_) == 1


def test_transform_and_sample_change_no_attribute(train, encoded):
    prep, model = es.Preprocessor("bins", "draw").fit(train), gan().fit(encoded)
    before = dict(vars(prep)), dict(vars(model))
    prep.inverse_transform(prep.transform(train))
    prep.get_feature_names_out()
    model.sample(5, seed=1)
    model.probabilities(5)
    for estimator, kept in zip((prep, model), before, strict=True):
        assert vars(estimator).keys() == kept.keys()
        assert all(vars(estimator)[name] is value for name, value in kept.items())
    assert np.array_equal(model.sample(5, seed=2).values, model.sample(5, seed=2).values)


def test_options_set_after_fit_wait_for_the_next(encoded):
    model = gan().fit(encoded)
    before = model.sample(20, seed=1).values
    model.set_params(recipe="paper", condition=False)
    assert np.array_equal(model.sample(20, seed=1).values, before)


def test_a_preprocessor_stands_in_a_pipeline(train):
    prep = es.Preprocessor()
    encoded = prep.fit_transform(train)
    assert np.array_equal(encoded.values, es.Preprocessor().fit(train).transform(train).values)
    names = prep.get_feature_names_out()
    assert list(names) == list(encoded.to_frame().columns) and "race=A" in names
    assert len(names) == encoded.values.shape[1]
    assert make_pipeline(es.Preprocessor(bins=4), gan()).fit(train)[-1].sample(3)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda t, e: es.EMRWGAN().fit(t), "trained on encoded patients, not on DataFrame; give"),
        (lambda t, e: es.EMRWGAN().fit(None), "not on NoneType"),
        (lambda t, e: es.EMRWGAN("nonsense").fit(e), "no recipe 'nonsense'; use one of"),
        (lambda t, e: es.EMRWGAN(5).fit(e), "recipe is 5; use the name of one"),
        (lambda t, e: es.Preprocessor().fit(None), "a DataFrame.*, not NoneType; give it what"),
        (lambda t, e: es.Preprocessor().fit(np.eye(3)), "not ndarray"),
        (lambda t, e: es.Preprocessor().fit(t).transform(None), "not NoneType"),
        (lambda t, e: es.Preprocessor().fit(t).inverse_transform(t), "another layout"),
        (lambda t, e: gan().fit(e).sample("5"), "must be 1 or more, not '5'"),
        (lambda t, e: gan().fit(e).sample(2.5), "must be 1 or more, not 2.5"),
        (lambda t, e: gan().fit(e).sample(0), "must be 1 or more, not 0"),
    ],
)
def test_what_is_not_what_it_should_be_is_a_sentence(train, encoded, use, message):
    with pytest.raises(es.InputError, match=message):
        use(train, encoded)


def test_an_unknown_option_is_refused_by_name():
    with pytest.raises(TypeError, match="epochs"):
        es.EMRWGAN(epochs=3)
    with pytest.raises(ValueError, match="epochs"):
        es.EMRWGAN().set_params(epochs=3)


def test_recipe_of_its_own_is_cloned(encoded):
    copy = clone(gan())
    assert copy.recipe == SMALL_MODERN
    pd.testing.assert_frame_equal(
        copy.fit(encoded).history_.drop(columns="seconds"),
        gan().fit(encoded).history_.drop(columns="seconds"),
    )
