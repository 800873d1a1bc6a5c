package power

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// order is what a process of ours is to do: work on a store, or check one.
type order struct {
	Check  bool
	Root   string
	Packed bool
	Seed   uint64
	Log    string
	Cut    int64
	Events []event
}

const ordered = "VITRINE_POWER_ORDER"

// TestMain is also the worker and the checker.
func TestMain(m *testing.M) {
	path := os.Getenv(ordered)
	if path == "" {
		os.Exit(m.Run())
	}
	var in order
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &in)
	}
	do := work
	if in.Check {
		do = check
	}
	if err == nil {
		err = do(context.Background(), in)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// send runs an order in a process of its own; what it wrote to its standard error is what it found.
func send(t *testing.T, in order) (out []byte, faults string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(in)
	path := filepath.Join(t.TempDir(), "order")
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, self)
	var e bytes.Buffer
	c.Env, c.Stderr = append(os.Environ(), ordered+"="+path), &e
	if out, err = c.Output(); err != nil {
		return out, fmt.Sprintf("%v\n%s", err, e.String())
	}
	return out, ""
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestPowerCut: whatever moment the power goes at, what was acknowledged is there and whole, nothing is half, and the store goes on.
// VITRINE_POWER_SEED chooses other work and moments, VITRINE_POWER_CUTS how many.
func TestPowerCut(t *testing.T) {
	need(t)
	seed, cuts := number(t, "VITRINE_POWER_SEED", 1), int(number(t, "VITRINE_POWER_CUTS", 14))
	t.Logf("VITRINE_POWER_SEED=%d", seed)
	for _, packed := range []bool{false, true} {
		t.Run(map[bool]string{false: "objects", true: "packs"}[packed], func(t *testing.T) {
			d, end := newDisk(t)
			before := d.now(t)
			out, faults := send(t, order{Root: d.root, Packed: packed, Seed: seed, Log: d.log})
			if faults != "" {
				t.Fatal(faults)
			}
			end()
			cutAll(t, d, order{Check: true, Packed: packed, Seed: seed, Events: events(t, out), Cut: before}, cuts)
		})
	}
}

func events(t *testing.T, out []byte) (list []event) {
	t.Helper()
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		var e event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", s.Bytes(), err)
		}
		list = append(list, e)
	}
	if len(list) < 40 {
		t.Fatalf("only %d things were done", len(list))
	}
	return list
}

// moments are a cut right after an answer of each kind, at which whatever nobody waited for is not on the disk, and more after answers and
// where much is on the way.
func moments(r *replay, in order, cuts int, rng *rand.Rand) (list []int) {
	kinds := map[string][]event{}
	for _, e := range in.Events {
		kind := e.What + e.Way + e.Region
		kinds[kind] = append(kinds[kind], e)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		list = append(list, r.after(kinds[kind][rng.IntN(len(kinds[kind]))].Answered))
	}
	first := r.after(in.Cut)
	for len(list) < cuts {
		list = append(list, r.busiest(first, rng), r.after(in.Events[rng.IntN(len(in.Events))].Answered))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// cutAll cuts the power at many moments and has what is left looked at.
func cutAll(t *testing.T, d *disk, in order, cuts int) {
	t.Helper()
	r, rng := newReplay(t, d), rand.New(rand.NewPCG(in.Seed, 2))
	list := moments(r, in, cuts, rng)
	forgotten := 0
	for _, n := range list {
		forgotten += cutOne(t, r, in, n, rng)
	}
	t.Logf("%d writes, %d things done, %d cuts, %d writes forgotten", len(r.list), len(in.Events), len(list), forgotten)
	if forgotten == 0 {
		t.Error("no cut forgot anything")
	}
}

// cutOne cuts the power after a write and has the disk looked at; it says how many writes were lost.
func cutOne(t *testing.T, r *replay, in order, n int, rng *rand.Rand) (lost int) {
	t.Helper()
	image, root := filepath.Join(t.TempDir(), "cut"), t.TempDir()
	kept := []float64{0, 0.5, 0.5, 0.9}[rng.IntN(4)]
	in.Cut, lost = r.cut(t, n, kept, rng, image)
	defer os.Remove(image) // there are many
	mount(t, image, root)
	defer unmount(t, root)
	in.Root = root
	if _, faults := send(t, in); faults != "" {
		t.Errorf("cut after write %d of %d; %d writes were lost, each kept by a chance of %.1f:\n%s", n+1, len(r.list), lost, kept, indent(faults))
	}
	return lost
}

func indent(s string) string { return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") }
