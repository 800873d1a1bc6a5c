// Package app assembles the program: configuration becomes back-ends, engines, providers, doors and workers.
//
// It is the only place that names a driver and that plugs one provider into another. It decides nothing itself. The
// program is a value, so a test starts it whole on free ports:
//
//	Config ─▶ New: lock, key, store ─▶ engines ─▶ control + providers ─▶ doors ─▶ Run: listener, socket, workers ─▶ Close
package app
