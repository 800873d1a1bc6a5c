// Package browser opens the pages of the token service in a real headless Chromium. It is a module of its own, so that the
// product never depends on what drives a browser. Screenshots go to build/screenshots.
package browser
