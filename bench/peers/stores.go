package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"vitrine/internal/image"
)

// keeper is a program that keeps disks as chunks: ours and the two peers.
type keeper struct {
	name    string
	missing error
	prepare func(ctx context.Context, dir string) error
	put     func(dir, disk string) command // stores a disk in the store in dir
	get     func(dir, disk string) command // makes the raw file of a disk that was put
	kept    func(dir string) string        // the folder whose bytes count
}

// keepers are what a disk is imported into. Each is set to compress by zstd: restic's repositories of version 2 do by themselves.
func (b *bench) keepers() []keeper {
	nothing := func(context.Context, string) error { return nil }
	same := func(dir string) string { return dir }
	return []keeper{
		{
			name: "vitrine", prepare: nothing,
			put: func(dir, disk string) command {
				return command{argv: []string{b.self, "work", "pack", dir, disk}, sync: dir}
			},
			get: func(dir, disk string) command {
				return command{argv: []string{b.self, "work", "unpack", dir, disk}, sync: dir}
			},
			// The database has pins and keys of all images; of the bytes of a few it would be a part that no real store has.
			kept: func(dir string) string { return filepath.Join(dir, "regions") },
		},
		{
			name: "restic", missing: found("restic", "restic"),
			prepare: func(ctx context.Context, dir string) error {
				_, err := restic(dir, "init", "--repository-version", "2").run(ctx)
				return err
			},
			put:  func(dir, disk string) command { return restic(dir, "backup", "--compression", "auto", disk) },
			kept: same,
		},
		{
			name: "casync", missing: found("casync", "casync"), prepare: nothing,
			put: func(dir, disk string) command {
				return command{argv: []string{"casync", "make", "--compression=zstd", "--store=" + filepath.Join(dir, "store.castr"), index(dir, disk), disk}, sync: dir}
			},
			get: func(dir, disk string) command {
				return command{argv: []string{"casync", "extract", "--store=" + filepath.Join(dir, "store.castr"), index(dir, disk), filepath.Join(dir, "out.raw")}, sync: dir}
			},
			kept: same,
		},
	}
}

func index(dir, disk string) string { return filepath.Join(dir, filepath.Base(disk)+".caibx") }

func restic(dir string, args ...string) command {
	return command{argv: append([]string{"restic", "--no-cache", "-q", "-r", dir}, args...), env: []string{"RESTIC_PASSWORD=bench"}, sync: dir}
}

// packed puts a disk into our store in dir and gives its reference.
func (b *bench) packed(ctx context.Context, dir, disk string) (ref image.Ref, text string, err error) {
	out, err := exec.CommandContext(ctx, b.self, "work", "pack", dir, disk).Output()
	if err == nil {
		err = json.Unmarshal(out, &ref)
	}
	return ref, string(out), err
}

// importing are contenders that put a disk into a new store each time.
func (b *bench) importing(ctx context.Context, disk string) []contender {
	var cs []contender
	for _, k := range b.keepers() {
		cs = append(cs, contender{name: k.name, missing: k.missing, run: func(int) (sample, error) {
			dir, err := b.scratch(k.name)
			if err != nil {
				return sample{}, err
			}
			if err := k.prepare(ctx, dir); err != nil {
				return sample{}, err
			}
			if err := warm(disk); err != nil {
				return sample{}, err
			}
			s, err := k.put(dir, disk).run(ctx)
			if err != nil {
				return s, err
			}
			u, err := usageOf(k.kept(dir))
			s.value = float64(u.bytes)
			return s, err
		}})
	}
	return cs
}

// rowImport stores the first image.
func rowImport(ctx context.Context, b *bench) error {
	m, err := b.grow(ctx, "import", func(ctx context.Context, disk string) ([]contender, error) { return b.importing(ctx, disk), nil })
	if err != nil {
		return err
	}
	b.compare(line{What: "import raw, CPU time", Unit: "s", Target: 0.5, Data: m.note}, m.cs, m.got, cpuOf)
	b.compare(line{What: "import raw, wall", Unit: "s", Data: m.note}, m.cs, m.got, wallOf)
	return nil
}

// rowSpace stores the second image beside the first.
func rowSpace(ctx context.Context, b *bench) error {
	for _, pair := range [...]struct{ second, what string }{{"b-rebuild", "A + B'"}, {"b-inplace", "A + B"}} {
		one, note, err := b.cutDisk(ctx, "a", b.size)
		if err != nil {
			return err
		}
		two, _, err := b.cutDisk(ctx, pair.second, b.size)
		if err != nil {
			return err
		}
		var cs []contender
		blocks := map[string][]sample{}
		for _, k := range b.keepers() {
			cs = append(cs, contender{name: k.name, missing: k.missing, run: func(int) (sample, error) {
				u, err := b.both(ctx, k, one, two)
				blocks[k.name] = append(blocks[k.name], sample{value: float64(u.blocks) / (1 << 20)})
				return sample{value: float64(u.bytes) / (1 << 20)}, err
			}})
		}
		got, err := b.turns(1, cs) // a store has the size it has
		if err != nil {
			return err
		}
		b.compare(line{What: "space for " + pair.what + ", bytes in files", Unit: "MiB", Target: 1.05, Data: note}, cs, got, valueOf)
		b.compare(line{What: "space for " + pair.what + ", blocks on the disk", Unit: "MiB", Target: 1.05, Data: note}, cs, blocks, valueOf)
	}
	return nil
}

func (b *bench) both(ctx context.Context, k keeper, disks ...string) (usage, error) {
	dir, err := b.scratch(k.name)
	if err != nil {
		return usage{}, err
	}
	if err := k.prepare(ctx, dir); err != nil {
		return usage{}, err
	}
	for _, disk := range disks {
		if _, err := k.put(dir, disk).run(ctx); err != nil {
			return usage{}, err
		}
	}
	return usageOf(k.kept(dir))
}

// rowExport makes the raw file of a stored image.
func rowExport(ctx context.Context, b *bench) error {
	m, err := b.grow(ctx, "export", b.exporting)
	if err != nil {
		return err
	}
	b.compare(line{What: "export to raw, wall", Unit: "s", Target: 1.0, Data: m.note}, m.cs, m.got, wallOf)
	b.compare(line{What: "export to raw, CPU time", Unit: "s", Data: m.note}, m.cs, m.got, cpuOf)
	return nil
}

// exporting puts the disk into everything that it is then taken out of.
func (b *bench) exporting(ctx context.Context, disk string) (cs []contender, err error) {
	dir, err := b.scratch("export")
	if err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "out.raw")
	timed := func(c command, made string) func(int) (sample, error) {
		return func(int) (sample, error) {
			s, err := c.run(ctx)
			if err == nil && made != "" {
				err = os.Remove(made)
			}
			return s, err
		}
	}
	for _, k := range b.keepers() {
		if k.get == nil {
			continue
		}
		c := contender{name: k.name, missing: k.missing}
		where := filepath.Join(dir, k.name)
		switch {
		case k.missing != nil:
		case k.name == "vitrine":
			ref, text, err := b.packed(ctx, where, disk)
			if err != nil {
				return nil, err
			}
			made := filepath.Join(where, "image", "cache", "bases", home, ref.Domain, ref.ID+".raw")
			c.run = timed(k.get(where, text), made)
		default:
			if err := os.MkdirAll(where, 0o700); err != nil {
				return nil, err
			}
			if _, err := k.put(where, disk).run(ctx); err != nil {
				return nil, err
			}
			c.run = timed(k.get(where, disk), filepath.Join(where, "out.raw"))
		}
		cs = append(cs, c)
	}
	for _, kind := range []string{"zlib", "zstd"} {
		c := contender{name: "qemu-img convert, " + kind, missing: found("qemu-img", "qemu-utils")}
		if c.missing == nil {
			from := filepath.Join(dir, kind+".qcow2")
			if err := compressed(ctx, disk, from, kind); err != nil {
				return nil, err
			}
			c.run = timed(command{argv: []string{"qemu-img", "convert", "-f", "qcow2", "-O", "raw", from, out}, sync: dir}, out)
		}
		cs = append(cs, c)
	}
	return cs, nil
}

// compressed makes a compressed qcow2.
func compressed(ctx context.Context, raw, out, kind string) error {
	said, err := exec.CommandContext(ctx, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type="+kind, raw, out).CombinedOutput()
	if err != nil {
		return fmt.Errorf("qemu-img: %w\n%s", err, said)
	}
	return nil
}
