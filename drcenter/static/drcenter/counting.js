// Lets seconds that go on by themselves count up between two answers of the server: <span data-drc-seconds="12">.
const drcNumbers = new Intl.NumberFormat(document.documentElement.lang || undefined)
const drcSeen = new WeakMap()
setInterval(function () {
  for (const span of document.querySelectorAll('[data-drc-seconds]')) {
    if (!drcSeen.has(span)) drcSeen.set(span, performance.now())
    const passed = Math.floor((performance.now() - drcSeen.get(span)) / 1000)
    span.textContent = drcNumbers.format(Number(span.dataset.drcSeconds) + passed)
  }
}, 1000)
