"use strict";
// Without this the slider shows both pictures side by side, and everything else works.
document.documentElement.classList.add("js");
for (const hidden of document.querySelectorAll(".stage input, .choose")) hidden.hidden = false;
for (const range of document.querySelectorAll(".stage input")) {
  const move = () => range.parentElement.style.setProperty("--at", `${range.value}%`);
  range.addEventListener("input", move);
  move();
}
for (const button of document.querySelectorAll(".choose")) {
  button.addEventListener("click", () => {
    const strip = button.closest(".strip");
    const slider = document.getElementById(button.dataset.slider);
    for (const [part, label] of [["before", "input"], ["after", "output"]]) {
      const from = strip.querySelector(`img[data-label="${label}"]`);
      const to = slider.querySelector(`.${part}`);
      to.src = from.src;
      to.alt = from.alt;
      to.classList.toggle("small", from.classList.contains("small"));
    }
    slider.querySelector(".file").textContent = strip.querySelector(".file").textContent;
    slider.scrollIntoView({ block: "nearest" });
    slider.querySelector("input").focus({ preventScroll: true });
  });
}
// A link to something within a closed part opens it, in browsers that do not do so by themselves.
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const closed = target && target.closest("details:not([open])");
  if (closed) {
    closed.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
reveal();
