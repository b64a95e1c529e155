// What a page is like where it is shown now: one object of plain data.
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
const luminance = ([red, green, blue]) =>
  [0.2126 * red, 0.7152 * green, 0.0722 * blue]
    .map((part, at) => {
      const value = part / 255 / [0.2126, 0.7152, 0.0722][at];
      const linear = value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      return linear * [0.2126, 0.7152, 0.0722][at];
    })
    .reduce((sum, part) => sum + part, 0);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = channels(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const ink = element.closest("svg") ? style.fill : style.color;
  const [light, dark] = [luminance(channels(ink)), luminance(ground(element))].sort((a, b) => b - a);
  texts.push({ text: walker.currentNode.data.trim(), contrast: (light + 0.05) / (dark + 0.05) });
}
const verdict = document.getElementById("verdict").getBoundingClientRect();
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
const all = (selector) => [...document.querySelectorAll(selector)];
return {
  verdict: document.getElementById("verdict").innerText,
  verdictIsInView: verdict.top >= 0 && verdict.bottom <= innerHeight && verdict.height > 0,
  heading: document.querySelector("h1, h2, h3").id,
  width: document.documentElement.scrollWidth,
  text: document.body.innerText,
  faintest: texts.sort((a, b) => a.contrast - b.contrast)[0],
  resources: performance.getEntriesByType("resource").map((entry) => entry.name),
  links: all("[src], [href]").map((element) => element.getAttribute("src") ?? element.getAttribute("href")),
  dangling: all("a[href^='#'], use").map((element) => (element.getAttribute("href")).slice(1)).filter((id) => !document.getElementById(id)),
  repeated: ids.filter((id, at) => ids.indexOf(id) !== at),
  images: all("img").map((image) => ({ width: image.naturalWidth, alt: image.alt })),
  plots: all("svg").map((plot) => plot.getAttribute("aria-label")),
  tablesWithoutHeaders: all("table").filter((table) => !table.querySelector("thead th[scope=col]") || [...table.tBodies[0].rows].some((row) => row.cells.length > 1 && !row.closest("table").querySelector("th[scope=row]"))).length,
  tablesWithoutName: all("table").filter((table) => !table.getAttribute("aria-label")).length,
  sections: all("section.signature").map((section) => ({
    key: section.querySelector("h2 code").textContent,
    tables: section.querySelectorAll("table").length,
  })),
};
