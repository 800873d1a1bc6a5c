package app

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/proc"
	"vitrine/internal/store"
)

// hostKey is the document that says which data folder has the machines and the image bytes of an installation.
const hostKey = "installation/host"

type hosting struct {
	Node string `json:"node"`
}

// electHost finds out whether this server is the one whose data folder holds machines and bytes. Servers that share a
// database but not the folder answer requests, decide and issue tokens; work and bytes stay with the first of them, since
// nothing of either is on the others' disks.
func (a *App) electHost(ctx context.Context) error {
	node, err := nodeID(filepath.Join(a.cfg.Data, "node"))
	if err != nil {
		return err
	}
	return a.store.Update(ctx, func(tx store.Tx) error {
		d, err := tx.Get(hostKey)
		if errors.Is(err, store.ErrNotFound) {
			a.host = true
			body, err := json.Marshal(hosting{node})
			if err != nil {
				return err
			}
			_, err = tx.Put(store.Document{Key: hostKey, Kind: "installation", Body: body})
			return err
		}
		if err != nil {
			return err
		}
		var h hosting
		if err := json.Unmarshal(d.Body, &h); err != nil {
			return err
		}
		a.host = h.Node == node
		return nil
	})
}

// nodeID is the name of a data folder, drawn once.
func nodeID(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	if !os.IsNotExist(err) {
		return "", err
	}
	id := uuid.NewString()
	return id, proc.Replace(path, func(f *os.File) error {
		_, err := f.WriteString(id + "\n")
		return err
	})
}
