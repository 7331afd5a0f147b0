(function () {
  "use strict";
  var drawings = JSON.parse(document.getElementById("drawings").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var printing = false;
  var settings = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" }
  };

  function theme() { return dark.matches && !printing ? "dark" : "light"; }

  function draw() {
    Object.keys(drawings).forEach(function (name) {
      var figure = drawings[name][theme()];
      Plotly.react(name, figure.data, figure.layout, settings);
    });
  }

  dark.addEventListener("change", draw);
  window.addEventListener("beforeprint", function () { printing = true; draw(); });
  window.addEventListener("afterprint", function () { printing = false; draw(); });
  draw();
})();
