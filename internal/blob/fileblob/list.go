package fileblob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"vitrine/internal/blob"
)

// List walks only the folders in which a key of the page can lie.
func (d *driver) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	l := lister{driver: d, prefix: prefix, after: after, limit: limit}
	start := "" // the deepest folder that holds every key with this prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i+1]
	}
	err := l.walk(ctx, start)
	return l.infos, err
}

type lister struct {
	*driver
	prefix, after string
	limit         int
	infos         []blob.Info
}

// walk appends the objects below folder, which is "" or ends in a slash.
func (l *lister) walk(ctx context.Context, folder string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		switch {
		case e.Name()[0] == '.':
		case e.IsDir():
			names = append(names, folder+e.Name()+"/") // sorts as its keys do: "c-x" < "c/1" < "c0"
		case e.Type().IsRegular():
			names = append(names, folder+e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if len(l.infos) == l.limit {
			return nil
		}
		if err := l.visit(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) visit(ctx context.Context, name string) error {
	if strings.HasSuffix(name, "/") {
		outside := !strings.HasPrefix(name, l.prefix) && !strings.HasPrefix(l.prefix, name)
		past := name <= l.after && !strings.HasPrefix(l.after, name) // every key in it is smaller than after
		if outside || past {
			return nil
		}
		return l.walk(ctx, name)
	}
	if name <= l.after || !strings.HasPrefix(name, l.prefix) {
		return nil
	}
	info, err := l.Stat(ctx, name)
	if errors.Is(err, blob.ErrNotFound) { // deleted since the folder was read
		return nil
	}
	if err != nil {
		return err
	}
	l.infos = append(l.infos, info)
	return nil
}
