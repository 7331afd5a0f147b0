(function () {
  "use strict";

  // --- light and dark: what was chosen, else what the system has ---------------------------------

  var prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try { return window.localStorage.getItem("attentune-theme"); } catch (error) { return null; }
  }

  function current() {
    return remembered() || (prefersDark.matches ? "dark" : "light");
  }

  function show(theme) {
    document.documentElement.dataset.theme = theme;
    return theme;
  }

  show(current());
  prefersDark.addEventListener("change", function () {
    if (window.dash_clientside && window.dash_clientside.set_props) {
      window.dash_clientside.set_props("theme", { data: show(current()) });
    }
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    attentune: {
      theme: function (clicks) {
        if (clicks) {
          var other = current() === "dark" ? "light" : "dark";
          try { window.localStorage.setItem("attentune-theme", other); } catch (error) { /* private */ }
          return show(other);
        }
        return show(current());
      },

      // What the server has drawn, at the zoom that the reader has chosen for the same figure.
      zoomed: function (drawn, shown) {
        var none = window.dash_clientside.no_update;
        if (!drawn) { return [none, none]; }
        var before = (shown && shown.layout) || {}, layout = Object.assign({}, drawn.layout);
        if (before.uirevision && before.uirevision === layout.uirevision) {
          ["xaxis", "yaxis"].forEach(function (name) {
            var axis = before[name];
            if (axis && axis.autorange === false && axis.range) {
              layout[name] = Object.assign({}, layout[name],
                { range: axis.range.slice(), autorange: false });
            }
          });
        }
        // The room that was kept, so that the page would not jump, is what the figure takes now.
        var room = { minHeight: layout.height + "px" };
        return [Object.assign({}, drawn, { layout: layout }), room];
      }
    }
  });

  // --- buttons: copy a text, save a figure or its data -------------------------------------------

  function copy(button) {
    var text = button.dataset.copy, label = button.textContent;
    function say(word) {
      button.textContent = word;
      window.setTimeout(function () { button.textContent = label; }, 1500);
    }
    function old() {
      var area = document.createElement("textarea");
      area.value = text;
      document.body.appendChild(area);
      area.select();
      var done = document.execCommand("copy");
      area.remove();
      say(done ? "Copied" : "Select and copy by hand");
    }
    if (navigator.clipboard) {
      navigator.clipboard.writeText(text).then(function () { say("Copied"); }, old);
    } else { old(); }
  }

  function plain(text) {
    return text === undefined || text === null ? ""
      : String(new DOMParser().parseFromString(String(text).replace(/<br>/g, "; "), "text/html")
        .body.textContent);
  }

  function cell(value) {
    var text = plain(value);
    // A text that a spreadsheet would take for a formula is kept a text.
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) { text = "'" + text; }
    return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }

  function pick(list, place) { return Array.isArray(list) ? list[place] : list; }

  function values(list) {
    if (!list) { return []; }
    if (list.bdata === undefined) { return list; }
    return list._inputArray || [];
  }

  function rows(graph) {
    var found = [["series", "x", "y", "z", "error", "trial", "label"]];
    graph.data.forEach(function (trace, number) {
      var drawn = graph._fullData[number] || trace;
      var name = trace.name || "";
      if (trace.type === "heatmap") {
        (trace.customdata || trace.z).forEach(function (line, row) {
          Array.from(line).forEach(function (z, column) {
            found.push([name, trace.x[column], trace.y[row], z, "", "", trace.text[row][column]]);
          });
        });
        return;
      }
      var xs = Array.from(values(drawn.x)), ys = Array.from(values(drawn.y));
      var error = drawn.error_y && drawn.error_y.array ? drawn.error_y
        : drawn.error_x && drawn.error_x.array ? drawn.error_x : null;
      xs.forEach(function (x, place) {
        if (x === null && ys[place] === null) { return; }
        found.push([name, trace.base ? pick(trace.base, place) : x, ys[place], trace.base ? x : "",
          error ? values(error.array)[place] : "", pick(trace.customdata, place),
          pick(trace.hovertext || trace.text, place)]);
      });
    });
    return found;
  }

  function download(name, text) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    link.click();
    window.setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }

  function save(button) {
    var graph = button.closest(".plot").querySelector(".js-plotly-plot");
    if (!graph || !window.Plotly) { return; }
    var name = "attentune-" + button.dataset.name, kind = button.dataset.save;
    if (kind === "csv") {
      download(name + ".csv", rows(graph).map(function (row) {
        return row.map(cell).join(",");
      }).join("\r\n") + "\r\n");
      return;
    }
    var paper = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
    var layout = Object.assign({}, graph.layout, { paper_bgcolor: paper, plot_bgcolor: paper });
    var size = { width: graph.clientWidth, height: graph.clientHeight };
    window.Plotly.downloadImage({ data: graph.data, layout: layout },
      Object.assign({ format: kind, filename: name, scale: kind === "png" ? 2 : 1 }, size));
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) { return; }
    if (button.dataset.copy !== undefined) { copy(button); }
    if (button.dataset.save !== undefined) { save(button); }
  });

  document.addEventListener("keydown", function (event) {
    var close = document.getElementById("close-card");
    if (event.key === "Escape" && close) { close.click(); }
  });
})();
