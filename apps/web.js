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
    navigator.clipboard?.writeText(said.innerText.trim()).then(() => { button.textContent = "Copied"; });
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
    return;
  }
  mmgenActed = button.dataset.act;
  document.querySelector("#chat-act").click();
  if (act === "edit") document.querySelector("#chat-box textarea")?.focus();
});
