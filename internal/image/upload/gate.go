package upload

import (
	"fmt"
	"sync"

	"vitrine/internal/image/chunk"
)

// gates keep the writers of uploads and their packing apart: one gate per upload that was opened or finished. They live
// in this process alone, and so do all writers: uploads lie on one server, and a writer ends with it.
type gates struct {
	mu   sync.Mutex
	byID map[string]*gate
}

// gate is passed by writers together, and shut while and after the upload is packed.
type gate struct {
	writers sync.RWMutex // guards shut; a writer holds it, shared, for the whole write
	shut    bool
	packing int
	holders int
}

func (g *gates) of(id string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byID == nil {
		g.byID = map[string]*gate{}
	}
	if g.byID[id] == nil {
		g.byID[id] = &gate{}
	}
	return g.byID[id]
}

// forget shuts the gate for those who still have the removed file open, and drops it.
func (g *gates) forget(id string) {
	g.mu.Lock()
	old := g.byID[id]
	delete(g.byID, id)
	g.mu.Unlock()
	if old != nil {
		old.writers.Lock()
		old.shut = true
		old.writers.Unlock()
	}
}

// pass runs change unless the gate is shut; the gate cannot be shut meanwhile.
func (g *gate) pass(change func() error) error {
	g.writers.RLock()
	defer g.writers.RUnlock()
	if g.shut || g.holders > 0 {
		return fmt.Errorf("%w that is open for writing", ErrUpload)
	}
	return change()
}

// close waits for the writers inside and lets no more in.
func (g *gate) close() {
	g.writers.Lock()
	defer g.writers.Unlock()
	g.shut = true
	g.packing++
}

// hold waits for the writers inside and lets no more in until every holder has let go.
func (g *gate) hold(n int) {
	g.writers.Lock()
	defer g.writers.Unlock()
	g.holders += n
}

// packed ends what close began; the gate stays shut unless the upload may be repeated.
func (g *gate) packed(repeat bool) {
	g.writers.Lock()
	defer g.writers.Unlock()
	g.packing--
	g.shut = !repeat || g.packing > 0
}

// reopen lets writers in again, for a new grant.
func (g *gate) reopen() error {
	g.writers.Lock()
	defer g.writers.Unlock()
	if g.packing > 0 {
		return fmt.Errorf("%w: the upload is being packed", chunk.ErrInvalid)
	}
	g.shut = false
	return nil
}
