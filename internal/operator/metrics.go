package operator

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"

	"vitrine/internal/arm"
)

// Metric is a number that monitoring watches.
type Metric struct {
	Name    string
	Help    string
	Counter bool // it only grows, from the server's start; else a gauge
	Value   float64
}

// metrics answers in Prometheus' text form (its documentation, "Exposition formats"), version 0.0.4.
func (d *door) metrics(w http.ResponseWriter, r *http.Request) error {
	if d.Images == nil {
		return arm.Errorf(501, "NotImplemented", "This server keeps no image bytes.")
	}
	list, err := d.Images.Metrics(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	out := bufio.NewWriter(w)
	for _, m := range list {
		kind := "gauge"
		if m.Counter {
			kind = "counter"
		}
		fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", m.Name, m.Help, m.Name, kind, m.Name, strconv.FormatFloat(m.Value, 'f', -1, 64))
	}
	return out.Flush()
}
