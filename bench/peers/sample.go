package main

import (
	"math"
	"slices"
	"time"
)

// sample is what one run of a contender cost.
type sample struct {
	cpu, wall float64 // seconds; the CPU time of all its processes, user and system
	value     float64 // what else the row counts: bytes, operations a second
}

// The ways to look at a sample.
func cpuOf(s sample) float64   { return s.cpu }
func wallOf(s sample) float64  { return s.wall }
func valueOf(s sample) float64 { return s.value }

// contender is one program that does the work of a row.
type contender struct {
	name    string
	missing error                           // why it cannot take part
	run     func(round int) (sample, error) // prepares and tidies outside of what it measures
}

// median of the samples as of sees them; NaN without any.
func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return quantile(values, 0.5)
}

// quantile sorts values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	at := q * float64(len(values)-1)
	low := int(at)
	if low+1 == len(values) {
		return values[low]
	}
	return values[low] + (at-float64(low))*(values[low+1]-values[low])
}

// slope is by which power of the size the cost grows: the line of least squares through the logarithms.
func slope(sizes, costs []float64) float64 {
	var n, x, y, xx, xy float64
	for i := range sizes {
		if !(costs[i] > 0) {
			continue
		}
		a, b := math.Log(sizes[i]), math.Log(costs[i])
		n, x, y, xx, xy = n+1, x+a, y+b, xx+a*a, xy+a*b
	}
	return (n*xy - x*y) / (n*xx - x*x)
}

// since is the time from begin on, in seconds.
func since(begin time.Time) float64 { return time.Since(begin).Seconds() }

// timed is how long f took, in seconds.
func timed(f func() error) (float64, error) {
	begin := time.Now()
	err := f()
	return since(begin), err
}
