// One panel in the browser: it draws the controls that Python describes, sends every move to Python, and
// shows the page that comes back. It computes nothing but the ink of a drawing. Plain ES module, no build step.
//
// The way of a move, tuned for latency (measured by tests/latency.py):
// - It leaves at once, as a custom message: ipywidgets holds back a synced trait until the kernel is idle.
// - At most IN_FLIGHT messages are on their way (one leaves the kernel idle between two values, three gain
//   nothing). Moves made meanwhile wait here, where a newer value of the same control replaces the older
//   one: nothing backs up, and the last value always wins.
// - Python answers with one message, the trait `page`. A trait, so that a second view of the cell, or a
//   window that was reloaded, starts from the present state.
//
// The way of a tick, the next piece of a lesson that runs:
// - The page says whether there is one. It is asked for before that page is drawn, so that Python works on
//   it meanwhile, behind the moves that were made before. It is drawn when the page before it was painted: every
//   piece is seen, and a slow window is not flooded.
// - One at a time, for all views of this window together, and only while there is a view. Each asks for the
//   piece after the one it saw, by number: what two windows ask for is worked on once.
// - No answer, no next tick: a kernel that died is asked once, and told like any other silence.

const IN_FLIGHT = 2 // of moves; a tick has a place of its own beside them
const UNPAINTED = 200 // ms after which a page counts as painted
const PATIENCE = 6000 // ms without an answer before the panel says so
const QUIET = 900 // ms without a change before the worked line is read out
const PEN = 2.2 // cells: how wide a stroke is
const KEYS = "Arrow keys move a cell; Space or Enter inks it, or takes its ink away; Shift with an arrow key " +
  "draws a stroke; Delete clears."
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const SILENT = "The kernel does not answer, so everything here still shows the last numbers that it gave. " +
  "If it is busy, wait. If it was stopped or restarted, run this cell again."

export default () => {
  let wire
  return {
    initialize({ model }) { wire = connect(model) },
    render({ model, el }) { return draw(model, el, wire) },
  }
}

/** A panel's one connection to Python, shared by all its views. */
function connect(model) {
  const client = Math.random().toString(36).slice(2)
  const waiting = [] // moves not sent yet: [kind, name, value]
  const flying = [] // requests without an answer: {turn, names, tick}
  const views = new Set()
  let count = 0, drawings = 0, due = false, painted = true, late = false, alarm, unpainted

  function flush() {
    if (waiting.length && flying.filter(({ tick }) => !tick).length < IN_FLIGHT) send(waiting.splice(0))
    if (due && !waiting.length) tick()
  }

  function tick() {
    due = false
    send([["tick", "", model.get("page").ticks]], true)
  }

  function send(moves, tick = false) {
    const turn = `${client}.${++count}`
    flying.push({ turn, names: moves.map(([, name]) => name), tick })
    clearTimeout(alarm)
    alarm = setTimeout(silent, PATIENCE)
    try { model.send({ turn, moves }) } catch { silent() }
  }

  function silent() {
    waiting.length = flying.length = 0 // a kernel that was only busy still answers what was sent
    due = late = false
    for (const view of views) view.silent()
  }

  /** Send what can be sent, the next tick too if there is one and the window keeps up. */
  function ask() {
    due = painted && model.get("page").running && views.size > 0 && !flying.some(({ tick }) => tick)
    flush()
  }

  /** Draw the page. Asking comes first: Python works on the next piece, or value, meanwhile. */
  function show() {
    late = false
    ask()
    for (const view of views) view.show(model.get("page"))
    drawn()
  }

  /** Notice when what was drawn is painted, and go on. A hidden window paints nothing and slows its timers down. */
  function drawn() {
    const drawing = ++drawings
    const seen = () => {
      if (painted || drawing !== drawings) return
      clearTimeout(unpainted)
      painted = true
      if (late) show()
      else ask()
    }
    clearTimeout(unpainted)
    painted = false
    if (document.hidden) return seen()
    requestAnimationFrame(() => setTimeout(seen)) // it is painted between the two
    unpainted = setTimeout(seen, UNPAINTED) // if the window is hidden meanwhile
  }

  model.on("change:page", () => {
    const at = flying.findIndex(({ turn }) => turn === model.get("page").turn)
    late ||= !painted && flying[at]?.tick
    flying.splice(0, 1 + at)
    if (!flying.length) clearTimeout(alarm)
    if (late) flush()
    else show()
  })

  return {
    join(view) {
      views.add(view)
      drawn()
    },
    leave: view => views.delete(view),
    move(kind, name = "", value = null) {
      const last = waiting.at(-1)
      if (kind === "set" && last?.[0] === "set" && last[1] === name) waiting.pop()
      waiting.push([kind, name, value])
      flush()
      for (const view of views) view.wait()
    },
    /** Is a move without its answer? A tick is always on its way while a lesson runs. */
    waits: () => waiting.length > 0 || flying.some(({ tick }) => !tick),
    /** Is a newer value of this control on its way? Then an older answer must not move it back. */
    moving: name => waiting.some(move => move[1] === name) || flying.some(({ names }) => names.includes(name)),
  }
}

/** One view of the panel: its controls, its picture, and how a page is shown in them. */
function draw(model, el, wire) {
  const sheet = model.get("sheet")
  const id = `cnnlab-${Math.random().toString(36).slice(2)}`
  const controls = new Map() // name -> {box, show(text, bounds, refused), drag(text)}
  const picture = make("div", { class: "cnnlab-picture" })
  const message = make("p", { class: "cnnlab-message", id: `${id}-message`, role: "alert" })
  const spoken = make("p", { class: "cnnlab-spoken", role: "status" })
  const reset = make("button", { type: "button", class: "cnnlab-reset", "data-reset": "" }, sheet.reset)
  const end = make("div", {}, reset, message)
  const groups = sheet.groups.map(group => drawGroup(group, id, controls))
  const column = make("div", { class: "cnnlab-controls" }, groups, end)
  const root = make("section", { class: "cnnlab-panel", "aria-label": sheet.title || "Panel" },
    make("style", {}, sheet.style), make("div", { class: "cnnlab-columns" }, column, picture), spoken)
  const gone = new AbortController() // ends what listens outside of this view
  let reading, pressing = false, missed = false

  function show(page) {
    missed = pressing
    if (pressing) return wait()
    for (const [name, control] of controls)
      if (!wire.moving(name)) control.show(page.values[name], page.limits[name], name === page.refused)
    patch(picture, page.html)
    root.dataset.shown = JSON.stringify(page.values) // which state is on screen, for tests and benchmarks
    root.toggleAttribute("data-running", page.running)
    root.classList.remove("cnnlab-stale")
    wait()
    say(page.message, page.refused)
    clearTimeout(reading)
    reading = setTimeout(() => { spoken.textContent = page.line }, QUIET)
  }

  /** A complaint stands beneath the control that it is about, or beneath the reset. */
  function say(text, about) {
    if (text === message.textContent) return
    message.textContent = text
    ;(controls.get(about)?.box ?? end).append(message)
  }

  /** Tests wait for this attribute to go. */
  function wait() {
    root.toggleAttribute("data-waiting", wire.waits())
  }

  function silent() {
    show({ ...model.get("page"), message: SILENT, refused: "" }) // sliders go back to what the picture shows
    root.classList.add("cnnlab-stale")
  }

  /** What was typed goes to Python, once. */
  function commit({ dataset, type, value }) {
    if (type !== "text" || value === dataset.shown || value === dataset.sent) return
    dataset.sent = value
    wire.move("set", dataset.name, value)
  }

  /** Jupyter's shortcuts take arrows, digits and letters from a focused slider (in Notebook 7 before the slider
   *  sees them). An attribute keeps them out; it is set for the panel's own keys only, so that Shift+Enter still
   *  runs the cell, Ctrl+S saves, and Escape leaves for command mode. */
  function keys({ target, key, ctrlKey, metaKey, altKey, shiftKey }) {
    if (!root.contains(target)) return
    const jupyters = ctrlKey || metaKey || altKey || key === "Escape" || (key === "Enter" && shiftKey)
    if (jupyters) target.removeAttribute("data-lm-suppress-shortcuts")
    else target.setAttribute("data-lm-suppress-shortcuts", "true")
    if (key === "Enter") commit(target) // JupyterLab keeps the browser from doing so
    if (key !== "Escape" || !target.dataset.shown) return
    target.value = target.dataset.shown // as it was before typing
    show({ ...model.get("page"), message: "", refused: "" })
  }

  /** A click is a press and a release on the same element: between them, a tick's answer must not replace it. */
  function release() {
    if (!pressing) return
    pressing = false
    if (missed) show(model.get("page"))
  }

  root.addEventListener("input", ({ target: { type, dataset: { name }, value } }) => {
    if (type !== "range") return
    controls.get(name).drag(value)
    wire.move("set", name, value)
  })
  root.addEventListener("change", ({ target }) => {
    if (target.type === "radio") wire.move("set", target.dataset.name, target.value)
    else commit(target)
  })
  root.addEventListener("draw", ({ target, detail }) => wire.move("set", target.dataset.name, detail))
  root.addEventListener("click", ({ target }) => act(target, wire))
  picture.addEventListener("pointerdown", () => { pressing = true })
  picture.addEventListener("keydown", event => {
    const native = event.target.matches("button, a, summary, input") // has a click of its own for these keys
    if (native && event.key === " ") pressing = true // a click when the key comes up
    if (native || event.shiftKey || !["Enter", " "].includes(event.key)) return
    event.preventDefault() // Space would scroll the page
    act(event.target, wire)
  })
  const outside = { capture: true, signal: gone.signal } // before Jupyter's own listeners on the document
  window.addEventListener("keydown", keys, outside)
  for (const end of ["pointerup", "pointercancel", "keyup", "blur"])
    window.addEventListener(end, () => setTimeout(release), outside) // after the click
  const sizes = watchSizes(root, column, picture)

  const view = { show, silent, wait }
  show(model.get("page"))
  clearTimeout(reading) // nothing has changed yet: nothing to read out
  el.append(root)
  wire.join(view)
  return () => {
    wire.leave(view)
    gone.abort()
    sizes.disconnect()
  }
}

/** A press on a button, or on an element of the picture that acts as a control. */
function act(target, wire) {
  const acting = target.closest("[data-press], [data-set], [data-reset]")
  if (!acting) return
  const { press, set, reset } = acting.dataset
  if (press !== undefined) wire.move("press", press)
  else if (reset !== undefined) wire.move("reset")
  else wire.move("set", set.slice(0, set.indexOf("=")), set.slice(set.indexOf("=") + 1))
}

/** A picture that grew does not shrink again (until the window's width changes): the cells below stay put.
 *  And the style sheet is told how tall the controls are. */
function watchSizes(root, column, picture) {
  let width
  const observer = new ResizeObserver(() => {
    root.style.setProperty("--tall", `${column.offsetHeight}px`)
    const keep = () => { picture.style.minHeight = `${picture.getBoundingClientRect().height}px` }
    if (picture.offsetWidth === width) keep()
    else requestAnimationFrame(() => {
      picture.style.minHeight = ""
      keep()
    })
    width = picture.offsetWidth
  })
  observer.observe(column)
  observer.observe(picture)
  return observer
}

function drawGroup({ title, columns, controls }, id, shows) {
  const drawn = controls.map(control => DRAW[control.kind](control, `${id}-${control.name}`, `${id}-message`, shows))
  return make("fieldset", {}, title && make("legend", {}, title),
    make("div", { class: "cnnlab-grid", style: `--columns: ${columns}` }, drawn))
}

const DRAW = {
  slider({ name, label, low, high, step, hint }, id, message, shows) {
    const range = make("input", { type: "range", id, step, "data-name": name })
    const field = make("input", { type: "text", autocomplete: "off", spellcheck: "false", "data-name": name,
      "aria-label": `${label}, as a number` })
    const box = make("div", { class: "cnnlab-slider" },
      make("label", { for: id }, label), field, range, make("small", {}, hint))
    let last
    const show = (value, [least, most] = [low, high], refused = false) => {
      const now = `${value} ${least} ${most} ${refused}`
      if (now === last && field.value === field.dataset.shown) return // to set a range anew is to paint it anew
      last = now
      Object.assign(range, { min: least, max: most, value }) // at its end if training took the value out of it
      range.setAttribute("aria-valuetext", short(value))
      const { shown, sent } = field.dataset
      const typing = field.matches(":focus") && field.value !== shown && field.value !== sent
      const kept = typing || (refused && field.value === sent) // refused text stays, to be mended
      field.dataset.shown = short(value)
      field.title = value
      if (!kept) field.value = short(value)
      if (!kept) delete field.dataset.sent
      for (const [name, mark] of [["aria-invalid", "true"], ["aria-describedby", message]])
        refused ? field.setAttribute(name, mark) : field.removeAttribute(name)
    }
    const drag = value => {
      range.setAttribute("aria-valuetext", short(value))
      field.value = short(value)
    }
    shows.set(name, { box, show, drag })
    return box
  },

  choice({ name, label, options, hint }, id, message, shows) {
    const radios = options.map(([value]) => make("input", { type: "radio", name: id, value, "data-name": name }))
    const drawn = radios.map((radio, i) => make("label", {}, radio, options[i][1]))
    const box = make("div", { class: "cnnlab-choice", role: "radiogroup", "aria-label": label },
      make("span", {}, label), drawn, make("small", {}, hint))
    const show = value => { for (const radio of radios) radio.checked = radio.value === value }
    shows.set(name, { box, show })
    return box
  },

  button({ name, label, hint }, id, message, shows) {
    const box = make("div", {}, make("button", { type: "button", "data-press": name }, label), make("small", {}, hint))
    shows.set(name, { box, show() {} })
    return box
  },

  drawing({ name, label, rows, columns, hint }, id, message, shows) {
    const ink = new Ink(rows, columns)
    const canvas = make("canvas", { width: columns, height: rows, tabindex: 0, role: "application",
      "aria-label": label, "aria-describedby": `${id}-keys`, "data-name": name })
    const cursor = make("div", { class: "cnnlab-cursor" })
    const clear = make("button", { type: "button" }, "Clear")
    const spoken = make("p", { class: "cnnlab-spoken", role: "status" })
    const box = make("div", { class: "cnnlab-drawing", role: "group", "aria-label": label },
      make("span", {}, label), make("div", { style: `--rows: ${rows}; --columns: ${columns}` }, canvas, cursor), clear,
      make("small", {}, hint), make("p", { class: "cnnlab-spoken", id: `${id}-keys` }, KEYS), spoken)
    let pen = null // where the pen is while it is down
    let at = [columns >> 1, rows >> 1] // the cell that the keys are on

    const show = text => {
      if (pen || text === ink.text) return // a stroke that is being drawn is not taken back
      ink.text = text
      ink.paint(canvas)
    }
    const changed = () => {
      ink.paint(canvas)
      canvas.dispatchEvent(new CustomEvent("draw", { bubbles: true, detail: ink.text }))
    }
    const point = () => ["--x", "--y"].forEach((name, axis) => cursor.style.setProperty(name, at[axis]))
    const place = ({ clientX, clientY }) => { // in cells, whole numbers in the middle of each
      const { left, top, width, height } = canvas.getBoundingClientRect()
      return [columns * (clientX - left) / width - 0.5, rows * (clientY - top) / height - 0.5]
    }
    const draw = events => {
      for (const next of events.map(place)) {
        ink.stroke(pen ?? next, next)
        pen = next
      }
      changed()
    }
    const erase = () => {
      ink.clear()
      changed()
    }
    const step = ([right, down], drawing) => {
      const from = at
      at = [clamp(at[0] + right, 0, columns - 1), clamp(at[1] + down, 0, rows - 1)]
      point()
      if (!drawing) return
      ink.stroke(from, at)
      changed()
    }
    const toggle = () => {
      ink.toggle(at)
      changed()
    }

    canvas.addEventListener("pointerdown", event => {
      if (!event.isPrimary || event.button !== 0) return
      canvas.setPointerCapture(event.pointerId)
      draw([event])
    })
    canvas.addEventListener("pointermove", event => {
      if (pen && event.isPrimary) draw([...event.getCoalescedEvents?.() ?? [], event])
    })
    canvas.addEventListener("lostpointercapture", () => {
      pen = null
      changed() // sent once more, so that an answer shows what the state is now
    })
    canvas.addEventListener("keydown", event => {
      const { key, shiftKey, ctrlKey, metaKey, altKey } = event
      if (ctrlKey || metaKey || altKey || (key === "Enter" && shiftKey)) return // Jupyter's
      if (ARROWS[key]) step(ARROWS[key], shiftKey)
      else if (key === " " || key === "Enter") toggle()
      else if (key === "Delete" || key === "Backspace") erase()
      else return
      event.preventDefault() // Space and arrows would scroll the page
      spoken.textContent = `cell ${at[1]},${at[0]}: ${ink.gray(at)}`
    })
    clear.addEventListener("click", erase)
    point()
    shows.set(name, { box, show })
    return box
  },
}

/** The gray values of a drawing, 0 (blank) to 255, row by row. A place is [x, y] in cells. */
class Ink {
  constructor(rows, columns) {
    this.columns = columns
    this.grays = new Uint8ClampedArray(rows * columns) // rounds, and stays within 0 and 255
  }

  /** Two hexadecimal digits a cell: what Python reads and writes. */
  get text() { return Array.from(this.grays, gray => gray.toString(16).padStart(2, "0")).join("") }
  set text(digits) { this.grays.set(digits.match(/../g).map(two => parseInt(two, 16))) }

  gray([x, y]) { return this.grays[this.columns * y + x] }
  toggle([x, y]) { this.grays[this.columns * y + x] = this.gray([x, y]) < 128 ? 255 : 0 }
  clear() { this.grays.fill(0) }

  /** A straight stroke of a round pen; its edge fades over one cell. */
  stroke(from, to) {
    this.grays.forEach((gray, n) => {
      const gap = distance([n % this.columns, Math.floor(n / this.columns)], from, to)
      this.grays[n] = Math.max(gray, 255 * (PEN / 2 + 0.5 - gap))
    })
  }

  paint(canvas) {
    const image = new ImageData(this.columns, this.grays.length / this.columns)
    this.grays.forEach((gray, n) => image.data.set([gray, gray, gray, 255], 4 * n))
    canvas.getContext("2d").putImageData(image, 0, 0)
  }
}

/** How far a point is from the straight line between two others. */
function distance([x, y], [x1, y1], [x2, y2]) {
  const right = x2 - x1, down = y2 - y1
  const along = ((x - x1) * right + (y - y1) * down) / (right * right + down * down || 1)
  const nearest = clamp(along, 0, 1)
  return Math.hypot(x - x1 - nearest * right, y - y1 - nearest * down)
}

function clamp(number, low, high) {
  return Math.min(Math.max(number, low), high)
}

/** At most six digits, with a true minus sign; the field's title holds them all. */
function short(text) {
  return String(Number(Number(text).toPrecision(6))).replaceAll("-", "−")
}

function make(tag, attributes, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children.flat().filter(Boolean))
  return element
}

/** Make `old` show `html` by changing only what differs: no flicker; focus, selection and scrolling stay. */
function patch(old, html) {
  if (old.source === html) return
  old.source = html
  const fresh = make("template", {})
  fresh.innerHTML = html
  const focused = old.contains(document.activeElement) && document.activeElement
  patchChildren(old, fresh.content)
  if (focused && !old.contains(document.activeElement)) find(old, focused.dataset)?.focus({ preventScroll: true })
}

/** What acts in the picture as an element that was replaced did. */
function find(picture, { press, set }) {
  const acting = [...picture.querySelectorAll("[data-press], [data-set]")]
  return acting.find(({ dataset }) => dataset.press === press && dataset.set === set)
}

function patchChildren(old, fresh) {
  const before = [...old.childNodes], after = [...fresh.childNodes]
  after.forEach((node, i) => before[i] ? patchNode(before[i], node) : old.append(node))
  for (const node of before.slice(after.length)) node.remove()
}

function patchNode(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh)
  if (!(old instanceof Element)) return old.data === fresh.data || (old.data = fresh.data)
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  for (const { name } of [...old.attributes]) // details that the reader opened stay open
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name)
  patchChildren(old, fresh)
}
