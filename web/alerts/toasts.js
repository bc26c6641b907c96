// toasts.js - notes in an element of the page, for the person who looks at it.

const TOASTS_MAX = 4;
const TOAST_MS = 8000;
// :where() has no weight: any rule of the page's own style sheet goes before these.
const STYLE = `
:where(.rowcast-toasts) { position: fixed; right: 1rem; bottom: 1rem; z-index: 1; display: grid; gap: .5rem;
  width: min(22rem, calc(100vw - 2rem)); }
:where(.rowcast-toasts .toast) { position: relative; padding: .7rem 2.6rem .7rem 1rem; border: 1px solid GrayText;
  border-radius: .5rem; background: Canvas; color: CanvasText; box-shadow: 0 .4rem 1.5rem #0004;
  overflow-wrap: anywhere; }
:where(.rowcast-toasts .toast-title) { display: block; font-weight: 600; }
:where(.rowcast-toasts .toast-body) { white-space: pre-line; }
:where(.rowcast-toasts .toast-close) { position: absolute; top: .35rem; right: .35rem; width: 1.9rem; height: 1.9rem;
  padding: 0; border: 0; background: none; color: inherit; font-size: 1.1rem; line-height: 1; cursor: pointer; }`;

let styleSheet = null;

// A style sheet made by script, which a Content-Security-Policy without inline styles allows. A browser
// that cannot make one (Safari before 16.4) shows the toasts as the page styles them.
function addStyle(document) {
  if (styleSheet !== null || !('adoptedStyleSheets' in document))
    return;
  styleSheet = new CSSStyleSheet();
  styleSheet.replaceSync(STYLE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, styleSheet];
}

function element(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

// Toasts stay while the pointer or the focus is on them.
export class Toasts {
  #rowOf = new WeakMap();   // toast → { id, channel }

  constructor(box, onclick) {
    this.box = box;
    this.onclick = onclick;
    box.classList.add('rowcast-toasts');
    addStyle(box.ownerDocument);
    if (!box.hasAttribute('role') && !box.hasAttribute('aria-live'))
      box.setAttribute('role', 'status');
  }

  // channel: of the row detail.id; the toast goes when that is read.
  show(alert, detail, channel = null) {
    const toast = this.#make(alert, detail);
    this.#rowOf.set(toast, { id: detail.id, channel });
    this.#replaced(alert.tag)?.remove();
    if (alert.tag !== '')
      toast.dataset.tag = alert.tag;
    this.box.append(toast);
    while (this.box.childElementCount > TOASTS_MAX)
      this.box.firstElementChild.remove();
    this.#expire(toast);
  }

  removeRead(isRead) {
    for (const toast of [...this.box.children]) {
      const { id, channel = null } = this.#rowOf.get(toast) ?? {};
      if (channel !== null && isRead(id, channel))
        toast.remove();
    }
  }

  #replaced(tag) {
    return tag === '' ? null : [...this.box.children].find((one) => one.dataset.tag === tag);
  }

  #make({ title, body, url }, detail) {
    const toast = element('div', 'toast', '');
    const head = url === '' ? element('b', 'toast-title', title) : element('a', 'toast-title', title);
    if (url !== '') {
      head.href = url;
      head.rel = 'noopener noreferrer';
      head.addEventListener('click', () => this.onclick(detail));
    }
    const close = element('button', 'toast-close', '×');
    close.type = 'button';
    close.setAttribute('aria-label', `Close: ${title}`);
    close.addEventListener('click', () => toast.remove());
    toast.addEventListener('keydown', (event) => event.key === 'Escape' && toast.remove());
    toast.append(head, element('span', 'toast-body', body), close);
    return toast;
  }

  #expire(toast) {
    setTimeout(() => {
      if (toast.matches(':hover, :focus-within'))
        this.#expire(toast);
      else
        toast.remove();
    }, TOAST_MS);
  }
}
