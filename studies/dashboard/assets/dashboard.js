(function () {
  "use strict";

  // --- light or dark: the reader's choice, else the system's -------------------------------------

  var prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

  function savedTheme() {
    try { return window.localStorage.getItem("attentune-theme"); } catch (error) { return null; }
  }

  function currentTheme() {
    return savedTheme() || (prefersDark.matches ? "dark" : "light");
  }

  function applyTheme(theme) {
    document.documentElement.dataset.theme = theme;
    return theme;
  }

  applyTheme(currentTheme());
  prefersDark.addEventListener("change", function () {
    if (window.dash_clientside && window.dash_clientside.set_props) {
      window.dash_clientside.set_props("theme", { data: applyTheme(currentTheme()) });
    }
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    attentune: {
      theme: function (clicks) {
        if (clicks) {
          var other = currentTheme() === "dark" ? "light" : "dark";
          try { window.localStorage.setItem("attentune-theme", other); } catch (error) { /* private */ }
          return applyTheme(other);
        }
        return applyTheme(currentTheme());
      },

      // The server's figure, with the zoom that the reader has chosen for the same figure.
      keepZoom: function (drawn, shown) {
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
        // The height that was kept free, so that the page would not jump, becomes the figure's own.
        var style = { minHeight: layout.height + "px" };
        return [Object.assign({}, drawn, { layout: layout }), style];
      }
    }
  });

  // --- a server that does not answer -------------------------------------------------------------

  var UNANSWERED = "The server of this page does not answer. What is shown may be out of date; the "
    + "page continues as soon as the server is back.";
  var REFUSED = "The server was started anew, with another address: open the one that it has printed.";
  var MAX_WAIT_MILLISECONDS = 15000;
  var fetchFromServer = window.fetch, shownProblem = "";

  function showServerProblem(text) {
    if (text === shownProblem || !window.dash_clientside.set_props) { return; }
    shownProblem = text;
    window.dash_clientside.set_props("server-problem", { children: text });
  }

  // The server's answers to the clicks of the meantime are missing, so everything is asked for again.
  function continueAfterProblem() {
    if (!shownProblem) { return; }
    showServerProblem("");
    window.dash_clientside.set_props("url",
      { pathname: window.location.pathname, search: window.location.search });
  }

  window.fetch = function () {
    var timer = window.setTimeout(function () { showServerProblem(UNANSWERED); }, MAX_WAIT_MILLISECONDS);
    return fetchFromServer.apply(window, arguments).then(function (response) {
      window.clearTimeout(timer);
      if ([502, 503, 504].includes(response.status)) { showServerProblem(UNANSWERED); }
      else if (response.status === 403) { showServerProblem(REFUSED); }
      else { continueAfterProblem(); }
      return response;
    }, function (error) {
      window.clearTimeout(timer);
      if (error.name !== "AbortError") { showServerProblem(UNANSWERED); }
      throw error;
    });
  };

  // --- buttons: copy a text, save a figure or its data -------------------------------------------

  function copy(button) {
    var text = button.dataset.copy, label = button.textContent;
    function showLabel(word) {
      button.textContent = word;
      window.setTimeout(function () { button.textContent = label; }, 1500);
    }
    function copyWithCommand() {
      var area = document.createElement("textarea");
      area.value = text;
      document.body.appendChild(area);
      area.select();
      var done = document.execCommand("copy");
      area.remove();
      showLabel(done ? "Copied" : "Select and copy by hand");
    }
    if (navigator.clipboard) {
      navigator.clipboard.writeText(text).then(function () { showLabel("Copied"); }, copyWithCommand);
    } else { copyWithCommand(); }
  }

  function plainText(html) {
    return html === undefined || html === null ? ""
      : String(new DOMParser().parseFromString(String(html).replace(/<br>/g, "; "), "text/html")
        .body.textContent);
  }

  function csvCell(value) {
    var text = plainText(value);
    // A spreadsheet must not take a text for a formula.
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) { text = "'" + text; }
    return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }

  function values(list) {
    if (!list) { return []; }
    if (list.bdata === undefined) { return list; }
    return list._inputArray || [];
  }

  function item(list, index) { return typeof list === "object" ? values(list)[index] : list; }

  // What stands beside the cells of a heatmap, or else the number of the column or row.
  function cellLabel(given, axis, index) {
    if (given) { return given[index]; }
    return axis.visible && axis.ticktext ? axis.ticktext[index] : index;
  }

  function axisTitle(axis, letter) {
    return axis && axis.visible !== false && axis.title && axis.title.text
      && !axis.title.text.startsWith("Click to enter") ? axis.title.text : letter;
  }

  function trialNumber(value) { return Number.isInteger(value) ? value : ""; }

  // The header names the axes with their units; a column without any value is left out.
  function csvRows(graph) {
    var whole = graph._fullLayout;
    var table = [["series", axisTitle(whole.xaxis, "x"), axisTitle(whole.yaxis, "y"), "z", "error",
      "trial", "label"]];
    graph.data.forEach(function (trace, index) {
      var drawn = graph._fullData[index] || trace;
      var name = trace.name || "";
      if (trace.type === "heatmap") {
        var layout = graph._fullLayout, texts = trace.hovertext || trace.text;
        Array.from(trace.customdata || drawn.z).forEach(function (line, row) {
          Array.from(line).forEach(function (z, column) {
            table.push([name, cellLabel(trace.x, layout.xaxis, column),
              cellLabel(trace.y, layout.yaxis, row), z, "", "",
              texts ? texts[row][column] : trace.meta]);
          });
        });
        return;
      }
      var xs = Array.from(values(drawn.x)), ys = Array.from(values(drawn.y));
      var error = drawn.error_y && drawn.error_y.array ? drawn.error_y
        : drawn.error_x && drawn.error_x.array ? drawn.error_x : null;
      xs.forEach(function (x, index) {
        if (x === null && ys[index] === null) { return; }
        table.push([name, drawn.base ? item(drawn.base, index) : x, ys[index], drawn.base ? x : "",
          error ? values(error.array)[index] : "", trialNumber(item(trace.customdata, index)),
          item(trace.hovertext || trace.text, index)]);
      });
    });
    var filled = table[0].map(function (_, column) {
      return table.some(function (row, index) {
        return index > 0 && row[column] !== "" && row[column] !== undefined && row[column] !== null;
      });
    });
    return table.map(function (row) { return row.filter(function (_, column) { return filled[column]; }); });
  }

  function download(name, text) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    link.click();
    window.setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }

  // The server writes the rows of trials, for the filters in the address of this page.
  function saveTrials(button) {
    var link = document.createElement("a");
    link.href = button.dataset.href + (button.dataset.href.includes("?") ? "" : window.location.search);
    link.download = "";
    document.body.appendChild(link);
    link.click();
    link.remove();
  }

  function save(button) {
    if (button.dataset.save === "trials") { saveTrials(button); return; }
    var graph = button.closest(".plot").querySelector(".js-plotly-plot");
    if (!graph || !window.Plotly) { return; }
    var name = "attentune-" + button.dataset.name, kind = button.dataset.save;
    if (kind === "csv") {
      download(name + ".csv", csvRows(graph).map(function (row) {
        return row.map(csvCell).join(",");
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

  // --- the card of a trial: opened without a jump, and the focus goes there and back -------------

  var usesKeyboard = false, openTrial = null, returnTo = null;

  function selectedTrial() { return new URLSearchParams(window.location.search).get("trial"); }

  function linkOf(trial) {
    return Array.from(document.querySelectorAll("main .text a[href]")).find(function (link) {
      return new URLSearchParams(link.search).get("trial") === trial;
    });
  }

  var editorIsOpen = false;

  // The form for tags and the note opens above the page, where a reader may not see it.
  function focusEditor() {
    var field = document.getElementById("mark-tags");
    if (field && !editorIsOpen) { field.focus(); }
    editorIsOpen = Boolean(field);
  }

  // Pages are drawn anew when a card opens or closes, which loses the focus.
  function moveFocus() {
    var close = document.getElementById("close-card"), selected = selectedTrial();
    if (close && selected !== null && selected !== openTrial) {
      openTrial = selected;
      returnTo = null;
      if (usesKeyboard) { close.focus(); }
    } else if (!close && openTrial !== null) {
      returnTo = usesKeyboard ? openTrial : null;
      openTrial = null;
    }
    if (returnTo !== null && document.activeElement === document.body) {
      var link = linkOf(returnTo);
      if (link) { link.focus(); }
    }
  }

  document.addEventListener("DOMContentLoaded", function () {
    new MutationObserver(function () { moveFocus(); focusEditor(); showProgress(); })
      .observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: ["class"] });
  });
  document.addEventListener("pointerdown", function () { usesKeyboard = false; returnTo = null; }, true);
  document.addEventListener("keydown", function (event) {
    usesKeyboard = true;
    returnTo = null;
    var close = document.getElementById("close-card");
    var isTyping = event.target.closest && event.target.closest(".mark-editor");
    if (event.key === "Escape" && close && !isTyping) { close.click(); }
  }, true);

  // Dash's links scroll to the top. One that only changes what is selected on this page must not.
  document.addEventListener("click", function (event) {
    var link = event.target.closest("#body a[href]");
    var opensElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
    if (!link || opensElsewhere || link.pathname !== window.location.pathname) { return; }
    event.preventDefault();
    event.stopPropagation();
    window.dash_clientside.set_props("url", { search: link.search });
  }, true);

  // --- the tab's title, and a notice on the desktop when a search ends ----------------------------

  var wasRunning = "";

  function shownStudy() {
    var heading = document.querySelector("h1");
    return heading ? heading.textContent.replace(/^[^:]*: /, "") : "";
  }

  function showProgress() {
    var status = document.getElementById("status"), study = shownStudy();
    if (!status || !study) { return; }
    var done = status.textContent.split(" · ")[0];
    var running = status.classList.contains("running");
    var title = [running ? "▶ " + done : done, study, "attentune"].filter(Boolean).join(" · ");
    if (document.title !== title) { document.title = title; }
    var button = document.getElementById("notify-button");
    var canAsk = "Notification" in window && window.Notification.permission === "default";
    if (button && button.hidden !== !(running && canAsk)) { button.hidden = !(running && canAsk); }
    if (!running && wasRunning === study && window.Notification
      && window.Notification.permission === "granted") {
      new window.Notification("The search " + study + " has ended", { body: status.textContent });
    }
    wasRunning = running ? study : "";
  }

  document.addEventListener("click", function (event) {
    if (event.target.closest("#notify-button")) {
      window.Notification.requestPermission().then(showProgress);
    }
  });

  // --- a click anywhere on a row of the table of trials does what its link does ------------------

  document.addEventListener("click", function (event) {
    var row = event.target.closest(".trials tbody tr");
    if (!row || event.target.closest("a, button") || String(window.getSelection())) { return; }
    var link = row.querySelector("a[href*='trial=']");
    if (link) { link.click(); }
  });

  // --- printing: figures as wide as the paper -----------------------------------------------------

  var PRINTED_WIDTH_PIXELS = 640;

  function setFigureWidths(settings) {
    document.querySelectorAll(".js-plotly-plot").forEach(function (graph) {
      window.Plotly.relayout(graph, settings);
    });
  }

  window.addEventListener("beforeprint", function () {
    setFigureWidths({ autosize: false, width: PRINTED_WIDTH_PIXELS });
  });
  window.addEventListener("afterprint", function () {
    setFigureWidths({ autosize: true, width: null });
  });
})();
