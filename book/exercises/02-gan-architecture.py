# %% prelude
# cells: ac161013, 4982a3ea, ec06788b, 9ba0b58e, adc2ba28
import numpy as np
import torch
from torch.nn.functional import softplus

from ehrsynth import book

seed = 0


# %% exercise: a critic without a fine | recall | core | 4 min
# Take a critic that is a plain weighted sum, $D(x) = w_1 x_1 + w_2 x_2$. Its slope is the same
# everywhere: the length of $(w_1, w_2)$. Give two weights, **both positive**, for which the gradient
# penalty is zero. And what would $(3, 4)$ cost? Guess, then put them in.
# %% check
def judge(answer, rng):
    w = torch.as_tensor(answer, dtype=torch.float32).detach().flatten()
    if len(w) != 2 or not w.min() > 0:
        return "two weights are asked for, both positive."
    length, dice = w.norm().item(), torch.Generator().manual_seed(0)
    fine = gradient_penalty(lambda x: x @ w, admit(64, dice), torch.zeros(64, 2), dice).item()
    if abs(w.sum() - 1) < 1e-3 and fine > 1e-3:
        return "the *sum* of your weights is 1. The slope is the length of the arrow."
    about = "too steep" if length > 1 else "too flat"
    return f"the slope is {length:.2f}, {about}: the fine is {fine:.3f}." * (
        abs(length - 1) > 5e-3
    )


hints = ["The slope is the root of w1² + w2².", "A slope of 1 costs nothing. 0.6² is 0.36."]
# %% solution
weights = [0.6, 0.8]
# show
for w in (weights, [3.0, 4.0]):
    dice = torch.Generator().manual_seed(0)
    fine = gradient_penalty(
        lambda x, w=w: x @ torch.tensor(w), admit(64, dice), torch.zeros(64, 2), dice
    )
    print(f"{w}: the penalty is {fine.item():.2f}")
# %% wrong: too steep
weights = [1.0, 1.0]
# %% wrong: too steep
weights = (3, 4)
# %% wrong: sum
weights = [0.5, 0.5]
# %% wrong: both positive
weights = [1.0, 0.0]
# %% wrong: both positive
weights = [-0.6, 0.8]
# %% wrong: both positive
weights = 0.6
# %% right: NumPy, another pair
weights = np.sqrt([0.5, 0.5])
# %% right: a tuple, rounded
weights = (0.7071, 0.7071)
# %% right: a tensor
weights = torch.tensor([0.28, 0.96], requires_grad=True)


# %% exercise: the critic's loss | apply | core | 5 min
# Write what the critic of a WGAN with gradient penalty makes as **small** as it can, from its scores of real and of
# made-up patients (two tensors), the penalty (a number) and its weight. The critic wants real patients to score high.
# %% check
def cases(rng):
    dice = torch.Generator().manual_seed(int(rng.integers(1000)))
    draw = lambda n: torch.randn(n, generator=dice) * 3
    return [(draw(64) + 1, draw(64), 0.5 + k, 10.0 / k) for k in (1, 2, 3)]


mistakes = {
    "the signs are turned: this critic would reward made-up patients.": lambda real, fake, p, w: (
        real.mean() - fake.mean() + w * p
    ),
    "the weight of the penalty is not used.": lambda real, fake, p, w: (
        fake.mean() - real.mean() + p
    ),
    "the penalty is missing.": lambda real, fake, p, w: fake.mean() - real.mean(),
    "a fine is added to what should be small, not taken off.": lambda real, fake, p, w: (
        fake.mean() - real.mean() - w * p
    ),
    "sums grow with the batch: take means.": lambda real, fake, p, w: (
        fake.sum() - real.sum() + w * p
    ),
    "that is the classic judge's loss with the fine.": lambda real, fake, p, w: (
        softplus(-real).mean() + softplus(fake).mean() + w * p
    ),
}
judge = book.compare(solution, cases, mistakes)
hints = [
    "Three terms: made-up, real, fine.",
    "The difference of two means, plus weight · penalty.",
]


# %% solution
def critic_loss(real, fake, penalty, weight):
    """What the critic makes small."""
    return fake.mean() - real.mean() + weight * penalty


# %% wrong:
def critic_loss(real, fake, penalty, weight):
    return (fake.mean() - real.mean()).abs() + weight * penalty


# %% right: turned inside out
def critic_loss(real, fake, penalty, weight):
    return -(torch.mean(real) - torch.mean(fake) - penalty * weight)


# %% right: as a Python number
def critic_loss(real, fake, penalty, weight):
    return float(sum(fake) / len(fake) - sum(real) / len(real)) + penalty * weight


# %% right: NumPy, one element
def critic_loss(real, fake, penalty, weight):
    return np.array([fake.numpy().mean() - real.numpy().mean() + weight * penalty])


# %% exercise: the forger's step | apply | core | 9 min
# Write a forger's move in the Wasserstein game: make patients from the noise, let the critic score them, and move the
# forger, **and only the forger**, one step along the [optimizer](../glossary.md#optimizer). `optimizer` holds the forger's weights.
# %% check
def after(step, k):
    forger, critic = network(2, 2, k, width=8), network(2, 1, k + 1, width=8)
    optimizer = torch.optim.SGD(forger.parameters(), lr=0.05)
    for p in (*forger.parameters(), *critic.parameters()):
        p.grad = torch.full_like(p, 0.5)  # what an earlier step has left behind
    for noise in torch.randn(2, 32, 2, generator=torch.Generator().manual_seed(k)):
        step(forger, critic, optimizer, noise)
    return [torch.cat([p.detach().ravel() for p in n.parameters()]) for n in (forger, critic)]


no = lambda o, **other: type("o", (), {"zero_grad": o.zero_grad, "step": o.step} | other)
negative = lambda critic: lambda x: -critic(x)
steps = {
    "": solution,
    "wrong way: its scores fall.": lambda f, c, o, z: solution(f, negative(c), o, z),
    "old slopes are still in it.": lambda f, c, o, z: solution(f, c, no(o, zero_grad=int), z),
    "the forger has not moved.": lambda f, c, o, z: solution(f, c, no(o, step=int), z),
}


def judge(answer, rng):
    (forger, critic), (_, held) = after(answer, 5), after(solution, 5)
    if not torch.equal(critic, held):
        return "the critic has moved, too. It holds still in the forger's move."
    same = [s for s, step in steps.items() if torch.allclose(after(step, 5)[0], forger)]
    return [*same, "the forger moves, but not by the slope of its mean score."][0]


hints = ["The slopes: loss, optimizer.zero_grad(), backward(), optimizer.step().",
         "The optimizer makes things small; the forger wants a high score."]  # fmt: skip


# %% solution
def forger_step(forger, critic, optimizer, noise):
    """Move the forger one step."""
    loss = -critic(forger(noise)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% wrong: its scores fall
def forger_step(forger, critic, optimizer, noise):
    loss = critic(forger(noise)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% wrong: old slopes
def forger_step(forger, critic, optimizer, noise):
    loss = -critic(forger(noise)).mean()
    loss.backward()
    optimizer.step()


# %% wrong: has not moved
def forger_step(forger, critic, optimizer, noise):
    loss = -critic(forger(noise)).mean()
    optimizer.zero_grad()
    loss.backward()


# %% wrong: element 0 of tensors does not require grad
def forger_step(forger, critic, optimizer, noise):
    loss = -critic(forger(noise).detach()).mean().detach()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% wrong: the critic has moved
def forger_step(forger, critic, optimizer, noise):
    loss = -critic(forger(noise)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    torch.optim.SGD(critic.parameters(), lr=0.05).step()


# %% wrong: not by the slope
def forger_step(forger, critic, optimizer, noise):
    loss = -critic(forger(noise)).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% wrong: not by the slope
def forger_step(forger, critic, optimizer, noise):
    loss = softplus(-critic(forger(noise))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% right: slopes set to None, loss returned
def forger_step(forger, critic, optimizer, noise):
    optimizer.zero_grad(set_to_none=True)
    scores = critic(forger(noise))
    loss = torch.mean(-scores)
    loss.backward()
    optimizer.step()
    return loss.item()


# %% right: slopes by hand
def forger_step(forger, critic, optimizer, noise):
    weights = list(forger.parameters())
    slopes = torch.autograd.grad(critic(forger(noise)).mean(), weights)
    for p, slope in zip(weights, slopes, strict=True):
        p.grad = -slope
    optimizer.step()


# %% exercise: was it the loss, or the speed? | extend | optional | 8 min
# From the first match to the last we changed *two* things: the rules (classic to Wasserstein) and the
# judge's learning rate (0.002 to 0.008). An honest comparison needs the two matches in between: the
# classic rules with the fast judge, and the Wasserstein rules with the slow one. Write a function that plays a
# match with `rounds=300` and `seed=seed + 1` and returns the number of kinds at its end. Guess first: which of the
# two changes ended the collapse on this toy?
# %% check
def judge(answer, rng):
    wanted = {
        "classic, fast": solution(Classic(), 8e-3),
        "Wasserstein, slow": solution(Wasserstein(1.0), 2e-3),
    }
    got = [answer(Classic(), 8e-3), answer(Wasserstein(1.0), 2e-3)]
    if [int(k) for k in got] == list(wanted.values()):
        return ""
    if got[0] == got[1]:
        return (
            f"both matches end with {got[0]}. Are the rules and the rate handed on to play()?"
        )
    return f"your matches end with {got[0]} and {got[1]} kinds, ours with other numbers."


hints = ["play(rules, rate, rounds=..., seed=...) returns (album, judge).",
         "list(album.values())[-1] is the last picture, kinds_made() counts."]  # fmt: skip


# %% solution
def kinds_at_end(rules, judge_rate):
    """How many kinds the forger makes after 300 rounds."""
    album, _ = play(rules, judge_rate, rounds=300, seed=seed + 1, looks=2)
    return kinds_made(list(album.values())[-1])


# show
print(f"classic, fast judge: {kinds_at_end(Classic(), 8e-3)} of {KINDS} kinds")
print(f"Wasserstein, slow critic: {kinds_at_end(Wasserstein(1.0), 2e-3)} of {KINDS} kinds")
# %% discussion
# On this toy the *speed* of the judge ended the collapse, with each of eight seeds that we tried. The Wasserstein
# loss with a slow critic collapses as the classic game does, and the classic game with a fast judge does well: the eight clouds
# are near the forger's first patients, so the judge is never so sure that it goes silent. What the
# Wasserstein loss buys is that a fast critic is *safe*, also when real and made-up patients lie far apart
# (the picture of the three judges). With hundreds of columns they always do. Beware of stories in which
# two things changed at once.


# %% wrong: handed on
def kinds_at_end(rules, judge_rate):
    return 8


# %% wrong: handed on
def kinds_at_end(rules, judge_rate):
    album, _ = play(rules, judge_rate, rounds=300, seed=seed + 1, looks=2)
    return kinds_made(list(album.values())[0])


# %% wrong: handed on
def kinds_at_end(rules, judge_rate):
    album, _ = play(Classic(), 8e-3, rounds=300, seed=seed + 1, looks=2)
    return kinds_made(list(album.values())[-1])


# %% right: by its key
def kinds_at_end(rules, judge_rate):
    album, judge = play(rules, judge_rate, 300, seed + 1)
    return float(kinds_made(album[300]))


# %% right: the last of nine pictures
def kinds_at_end(rules, judge_rate):
    last = None
    for picture in play(rules, judge_rate, rounds=300, seed=seed + 1, looks=9)[0].values():
        last = picture
    return np.int64(kinds_made(last))
