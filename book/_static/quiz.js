// Counts in the quiz of a chapter: an option that opens first is the reader's choice.
document.addEventListener("DOMContentLoaded", () => {
  const heading = [...document.querySelectorAll("h2")].find(
    (h) => h.firstChild && h.firstChild.textContent.trim() === "Quiz"
  );
  if (!heading) return;
  const options = [...heading.parentElement.querySelectorAll("details")];
  if (!options.length) return;
  const score = document.createElement("p");
  score.className = "es-quiz-score";
  score.setAttribute("role", "status");
  options[options.length - 1].after(score);
  // Options of one question stand side by side; anything else between them begins the next.
  let question = 0;
  const chosen = new Map();
  options.forEach((option, i) => {
    if (i && option.previousElementSibling !== options[i - 1]) question += 1;
    const own = question;
    option.classList.add("es-quiz-option");
    option.addEventListener("toggle", () => {
      const right = option.querySelector("strong")?.textContent === "Right.";
      option.classList.add(right ? "es-right" : "es-wrong");
      if (option.open && !chosen.has(own)) chosen.set(own, right);
      const good = [...chosen.values()].filter(Boolean).length;
      score.textContent = `${good} of ${question + 1} at the first try, ${chosen.size} answered.`;
    });
  });
});
