// Before the first paint, so that a dark page is never white for a moment.
(function () {
  var theme = 'auto';
  try {
    theme = localStorage.getItem('perfwatch.theme') || 'auto';
  } catch {
    // Without storage, the system's choice stands.
  }
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
})();
