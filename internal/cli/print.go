package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
)

// print writes a thing, or a list of things, as -o asks. The table's columns are the JSON names.
func (e *env) print(v any) error { return e.printTo(e.out, v) }

func (e *env) printTo(out io.Writer, v any) error {
	if e.format != "json" {
		return table(out, reflect.ValueOf(v))
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (e *env) checkFormat() error {
	if e.format != "json" && e.format != "table" {
		return usageError{fmt.Errorf("unknown output format %q; it is json or table", e.format)}
	}
	return nil
}

func table(out io.Writer, v reflect.Value) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			if i == 0 {
				fmt.Fprintln(w, strings.Join(columns(v.Index(i), true), "\t"))
			}
			fmt.Fprintln(w, strings.Join(columns(v.Index(i), false), "\t"))
		}
		return w.Flush()
	}
	names, values := columns(v, true), columns(v, false)
	for i, name := range names {
		fmt.Fprintf(w, "%s\t%s\n", name, values[i])
	}
	return w.Flush()
}

// columns gives the names or the values of a struct's members. A list inside is joined by commas, by its first member.
func columns(v reflect.Value, names bool) []string {
	var out []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		switch at := v.Field(i); {
		case names:
			out = append(out, name)
		case at.Kind() == reflect.Slice:
			var parts []string
			for j := range at.Len() {
				if at.Index(j).Kind() == reflect.Struct {
					parts = append(parts, fmt.Sprint(at.Index(j).Field(0)))
				} else {
					parts = append(parts, fmt.Sprint(at.Index(j)))
				}
			}
			out = append(out, strings.Join(parts, ","))
		default:
			out = append(out, fmt.Sprint(at))
		}
	}
	return out
}
