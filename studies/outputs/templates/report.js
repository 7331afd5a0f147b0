(function () {
  "use strict";
  var plots = JSON.parse(document.getElementById("plots").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var printing = false, PRINTED_WIDTH_PIXELS = 640;
  var settings = JSON.parse(document.getElementById("plotly-config").textContent);
  settings.toImageButtonOptions = { format: "svg" };

  function currentTheme() { return dark.matches && !printing ? "dark" : "light"; }

  function drawFigures() {
    Object.keys(plots).forEach(function (name) {
      var figure = plots[name][currentTheme()], layout = figure.layout;
      if (printing) { layout = Object.assign({}, layout, { width: PRINTED_WIDTH_PIXELS }); }
      Plotly.react(name, figure.data, layout, settings);
    });
  }

  dark.addEventListener("change", drawFigures);
  window.addEventListener("beforeprint", function () { printing = true; drawFigures(); });
  window.addEventListener("afterprint", function () { printing = false; drawFigures(); });
  drawFigures();
})();
