package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// rowCreate makes machines of image versions through the API, each until the file of its disk is there. "First" is the first machine of a
// version, of which nothing lies ready; "again" is the next one.
func rowCreate(ctx context.Context, b *bench) error {
	o, err := b.startOurs(ctx)
	if err != nil {
		return err
	}
	defer o.end()
	if err := errors.Join(o.settle(ctx), o.wire(ctx)); err != nil {
		return err
	}
	size := b.size
	if size == 0 {
		size = 256 << 20
	}
	grown := b.growth("VM disk from an image of 2 GiB, first, wall", "s", mibOfData)
	for _, part := range parts()[:2] {
		cs, _, err := b.creators(ctx, o, size/part, 2<<30)
		if err != nil {
			return err
		}
		got, err := b.turns(b.roundsOf(part), cs)
		if err != nil {
			return err
		}
		grown.add(float64(size/part>>20), cs, got, wallOf)
	}
	var first, again []contender
	for _, virtual := range []int64{2 << 30, 64 << 30} {
		one, two, err := b.creators(ctx, o, size, virtual)
		if err != nil {
			return err
		}
		first, again = append(first, one...), append(again, two...)
	}
	note := fmt.Sprintf("%d MiB of data", size>>20)
	for _, kind := range []struct {
		name string
		cs   []contender
	}{{"first", first}, {"again", again}} {
		got, err := b.turns(b.rounds, kind.cs)
		if err != nil {
			return err
		}
		half := len(kind.cs) / 2
		if half > 2 {
			grown.add(float64(size>>20), kind.cs[:half], got, wallOf)
		}
		for i, gib := range []string{"2", "64"} {
			b.compare(line{What: "VM disk from an image of " + gib + " GiB, " + kind.name + ", wall", Unit: "s", Target: 1.5, Data: note}, kind.cs[i*half:i*half+2], got, wallOf)
			if half > 2 {
				b.compare(line{What: "the same beside a full copy, wall", Unit: "s", Data: note}, []contender{kind.cs[i*half], kind.cs[i*half+2]}, got, wallOf)
			}
		}
		b.add(line{What: "VM disk of a 64 GiB image to one of 2 GiB, " + kind.name, Target: 1.2, Alone: true, Rounds: b.rounds, Data: note,
			Ours: median(got[kind.cs[half].name], wallOf) / median(got[kind.cs[0].name], wallOf)})
	}
	return nil
}

// creators are for one size of data in one virtual size: ours, the overlay of the peer and, for the first disk, its full copy.
func (b *bench) creators(ctx context.Context, o *ours, data, virtual int64) (first, again []contender, err error) {
	disk, _, err := b.cutDisk(ctx, "a", data)
	if err != nil {
		return nil, nil, err
	}
	dir, err := b.scratch("create")
	if err != nil {
		return nil, nil, err
	}
	tag := fmt.Sprintf("%d-%d", virtual>>30, data>>20)
	gib := fmt.Sprint(virtual >> 30)
	raw, made := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "made.qcow2")
	if out, err := exec.CommandContext(ctx, "cp", "--sparse=always", disk, raw).CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("cp: %w %s", err, out)
	}
	if err := errors.Join(os.Chmod(raw, 0o600), os.Truncate(raw, virtual)); err != nil { // the bench's data is read-only
		return nil, nil, err
	}
	run := func(argv ...string) func(int) (sample, error) {
		return func(int) (sample, error) {
			s, err := command{argv: argv, sync: dir}.run(ctx)
			return s, errors.Join(err, os.Remove(made))
		}
	}
	var versions []string
	name, missing := ", "+gib+" GiB", found("qemu-img", "qemu-utils")
	fresh := contender{name: "vitrine" + name, run: func(round int) (sample, error) {
		if err := mark(raw, round); err != nil {
			return sample{}, err
		}
		id, err := o.publish(ctx, raw, "i"+tag, round)
		if err != nil {
			return sample{}, err
		}
		versions = append(versions, id)
		if err := syncFS(dir); err != nil {
			return sample{}, err
		}
		return o.machineFrom(ctx, id, fmt.Sprintf("first%s-%d", tag, round))
	}}
	next := contender{name: fresh.name, run: func(round int) (sample, error) {
		return o.machineFrom(ctx, versions[0], fmt.Sprintf("again%s-%d", tag, round))
	}}
	backed := contender{name: "qemu-img create -b" + name, missing: missing, run: run("qemu-img", "create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", made)}
	whole := contender{name: "qemu-img convert" + name, missing: missing, run: run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made)}
	return []contender{fresh, backed, whole}, []contender{next, backed}, nil
}

// machineFrom makes a machine of an image version and waits until the file of its disk is there, which is the first thing that is made for
// it; then the machine goes, of which this says nothing.
func (o *ours) machineFrom(ctx context.Context, version, name string) (sample, error) {
	before, err := o.overlays()
	if err != nil {
		return sample{}, err
	}
	id := o.compute("virtualMachines/" + name)
	body := map[string]any{"location": home, "properties": map[string]any{
		"hardwareProfile": map[string]any{"vmSize": "Standard_DS1_v2"},
		"networkProfile":  map[string]any{"networkInterfaces": []any{map[string]any{"id": o.network("networkInterfaces/nic")}}},
		"storageProfile":  map[string]any{"imageReference": map[string]any{"id": version}, "osDisk": map[string]any{"createOption": "FromImage", "deleteOption": "Delete"}}}}
	out, err := o.process.during(func() error {
		if _, err := o.arm.Begin(ctx, http.MethodPut, id, versionMachine, body); err != nil {
			return err
		}
		return o.overlaid(ctx, before)
	})
	if err != nil {
		return out, err
	}
	if err := o.succeeded(ctx, id, versionMachine); err != nil {
		return out, err
	}
	return out, o.arm.Do(ctx, http.MethodDelete, id, versionMachine, nil, nil)
}

// overlays are the files of disks that machines run on.
func (o *ours) overlays() (map[string]bool, error) {
	paths, err := filepath.Glob(filepath.Join(o.dir, "data", "disks", "*", "*.qcow2"))
	found := map[string]bool{}
	for _, p := range paths {
		found[p] = true
	}
	return found, err
}

// overlaid waits for one more.
func (o *ours) overlaid(ctx context.Context, before map[string]bool) error {
	return polled(ctx, func() (bool, error) {
		now, err := o.overlays()
		for p := range now {
			if !before[p] {
				return true, nil
			}
		}
		return false, err
	})
}

// wire makes the network interface that the machines have in turns.
func (o *ours) wire(ctx context.Context) error {
	subnet := o.network("virtualNetworks/net/subnets/default")
	err := o.arm.Do(ctx, http.MethodPut, o.network("virtualNetworks/net"), "2022-01-01", map[string]any{"location": home, "properties": map[string]any{
		"addressSpace": map[string]any{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets":      []any{map[string]any{"name": "default", "properties": map[string]any{"addressPrefix": "10.0.0.0/24"}}}}}, nil)
	if err != nil {
		return err
	}
	return o.arm.Do(ctx, http.MethodPut, o.network("networkInterfaces/nic"), "2022-01-01", map[string]any{"location": home, "properties": map[string]any{
		"ipConfigurations": []any{map[string]any{"name": "one", "properties": map[string]any{"subnet": map[string]any{"id": subnet}, "privateIPAllocationMethod": "Dynamic"}}}}}, nil)
}

func (o *ours) network(rest string) string { return o.group() + "/providers/Microsoft.Network/" + rest }

// succeeded waits until a resource says so, looking every few milliseconds.
func (o *ours) succeeded(ctx context.Context, id, version string) error {
	return polled(ctx, func() (bool, error) {
		var doc struct {
			Properties struct {
				ProvisioningState string `json:"provisioningState"`
			} `json:"properties"`
		}
		if err := o.arm.Get(ctx, id, version, &doc); err != nil {
			return false, err
		}
		if state := doc.Properties.ProvisioningState; state == "Failed" {
			return false, fmt.Errorf("%s failed", id)
		} else if state == "Succeeded" {
			return true, nil
		}
		return false, nil
	})
}

// polled asks until done.
func polled(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
