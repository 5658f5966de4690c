/* What Python cannot do on the page: a name for this tab of the browser, the page's tab that was open before a reload, and
   a role for the empty galleries that Gradio names without one. */

function mmgenPage() {
  let name = sessionStorage.getItem("mmgen-page");
  if (!name) {
    name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("mmgen-page", name);
  }
  return name;
}

function mmgenTabs() {
  const tabs = () => Array.from(document.querySelectorAll(".gradio-container [role=tablist] [role=tab]"));
  if (!tabs().length) return false;
  const name = (one) => one.textContent.trim();
  const before = sessionStorage.getItem("mmgen-tab");
  tabs().find((one) => name(one) === before)?.click();
  const keep = () => {
    const chosen = tabs().find((one) => one.getAttribute("aria-selected") === "true");
    if (chosen) sessionStorage.setItem("mmgen-tab", name(chosen));
  };
  const named = () => {
    for (const one of document.querySelectorAll("div.empty[aria-label]:not([role])")) one.setAttribute("role", "img");
  };
  new MutationObserver(named).observe(document.body, { subtree: true, childList: true });
  named();
  new MutationObserver(keep).observe(document.body, { subtree: true, attributeFilter: ["aria-selected"] });
  return true;
}

const mmgenWaiting = setInterval(() => mmgenTabs() && clearInterval(mmgenWaiting), 50);

/* The conversation is shown from its end, unless somebody scrolled up. */
function mmgenChat() {
  const box = document.querySelector("#chat-messages");
  if (!box) return false;
  for (const [name, value] of [["role", "log"], ["tabindex", "0"], ["aria-label", "Conversation"]]) box.setAttribute(name, value);
  let atEnd = true;
  box.addEventListener("scroll", () => { atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80; });
  const end = () => { if (atEnd) box.scrollTop = box.scrollHeight; };
  new MutationObserver(end).observe(box, { subtree: true, childList: true, characterData: true });
  new ResizeObserver(end).observe(box);
  return true;
}

const mmgenChatWaiting = setInterval(() => mmgenChat() && clearInterval(mmgenChatWaiting), 100);

/* The buttons at a message: what they ask for is what a hidden button of Gradio's tells Python. */
let mmgenActed = "";

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("#chat-past [data-act]");
  if (!button) return;
  const [act] = button.dataset.act.split(" ");
  if (act === "copy") {
    const said = button.closest(".turn").querySelector(".told, .question");
    navigator.clipboard?.writeText(mmgenWritten(said)).then(() => { button.textContent = "Copied"; });
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
    return;
  }
  mmgenActed = button.dataset.act;
  document.querySelector("#chat-act").click();
  if (act === "edit") document.querySelector("#chat-box textarea")?.focus();
});

/* Formulas, which apps/formulas.py found, drawn by Gradio's KaTeX; it is loaded when the first one appears. Mutations are told
   before the browser paints, so that an answer that grows does not flicker between TeX and what is drawn. */
let mmgenDrawing = null;

function mmgenFormulas() {
  const found = Array.from(document.querySelectorAll(".math:not([data-tex])"));
  if (!found.length || !window.mmgenKatex) return;
  if (!mmgenDrawing) {
    const [script, style] = window.mmgenKatex.map((one) => new URL(one, document.baseURI).href);
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: style }));
    mmgenDrawing = import(script).then((katex) => { window.mmgenTex = katex.default; mmgenFormulas(); });
    mmgenDrawing.catch(() => { window.mmgenKatex = null; });
  }
  if (!window.mmgenTex) return;
  for (const one of found) {
    const written = one.textContent;
    one.dataset.tex = written;
    window.mmgenTex.render(written.slice(2, -2), one, {
      displayMode: one.classList.contains("display"), throwOnError: false, strict: "ignore", maxExpand: 200, maxSize: 20,
    });
  }
}

new MutationObserver(mmgenFormulas).observe(document.documentElement, { subtree: true, childList: true });

/* The text of an answer, with its formulas as they were written. */
function mmgenWritten(element) {
  const drawn = Array.from(element.querySelectorAll("[data-tex]"), (one) => [one, Array.from(one.childNodes)]);
  for (const [one] of drawn) one.replaceChildren(one.dataset.tex);
  const text = element.innerText.trim();
  for (const [one, nodes] of drawn) one.replaceChildren(...nodes);
  return text;
}
