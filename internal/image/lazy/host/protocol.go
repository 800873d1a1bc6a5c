// Package host serves bases that are not whole yet to the machines that run on them: one process for all, of this program, that
// outlives the server.
//
// It owns that process (Serve), what the server says to it, and its supervision (Bases). It does not own the bases' files (lazy), how
// chunks are read (image.Outpost) or machines; its word for a base is image's: region/domain/id.
//
//	server: Bases ── declare: exports, keys, rate ──▶ Sockets/nbd.ctl ─┐
//	              ◀── how far each is, what is damaged ──              ├ process: Serve ── chunks ──▶ DATA/image/cache/bases/…
//	guest ── QEMU: overlay, nbd (reconnect-delay) ──▶ Sockets/nbd.sock ┘
//
//	DIR/lock          held by the process for as long as it lives
//	    process.json  who it is; removed when it was not needed any more, so one without a process was killed
//	    nbd.log
//
// Which process asks whom: the server tells, always. The bases that are not whole are files, so a new server, or one whose process was
// killed, finds them, makes the process if need be, and declares them with the keys of their domains. The keys are in this
// process's memory and nowhere else; it cannot be dumped. Before it has been told it lets clients wait; a base that has
// become whole it serves without being told, for guests that began when it was not.
package host

import (
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/digest"
	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
)

// controlVersion is the version of what is said on the control socket: one request and one response per connection.
const controlVersion = 1

// request is a declaration, or a question.
type request struct {
	Op string `json:"op"` // declare, status, end

	// Of declare: all that is to be served, and the keys, by domain and id. What is not named any more is dropped.
	Exports []export                     `json:"exports,omitempty"`
	Keys    map[string]map[string][]byte `json:"keys,omitempty"`
	Rate    int64                        `json:"rate,omitempty"` // bytes a second in the background; 0: no limit; negative: none

	Place string `json:"place,omitempty"` // where chunks are

	Seen uint64 `json:"seen,omitempty"` // of status: the latest fault that is known
}

// export is a base that is not whole.
type export struct {
	Region string    `json:"region"`
	Ref    image.Ref `json:"ref"`
}

func (e export) name() string { return e.Region + "/" + e.Ref.String() }

// baseFile gives the place below bases of the export of that name; ok says whether it is a name.
func baseFile(bases, name string) (path string, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || chunk.CheckName("region", parts[0]) != nil || chunk.CheckName("domain", parts[1]) != nil {
		return "", false
	}
	if id, err := digest.ParseHex(parts[2]); err != nil || id.Hex() != parts[2] {
		return "", false
	}
	return filepath.Join(bases, image.BaseFile(parts[0], image.Ref{Domain: parts[1], ID: parts[2]})), true
}

type response struct {
	Version int    `json:"version"`
	Error   string `json:"error,omitempty"`

	Exports map[string]State `json:"exports,omitempty"`
	Faults  []fault          `json:"faults,omitempty"` // after request.Seen
	Idle    time.Duration    `json:"idle,omitempty"`   // for how long nobody has been connected; 0: somebody is
	Heir    bool             `json:"heir,omitempty"`   // the process before was killed: its clients may be about to come
}

// State is how far a base is.
type State struct {
	Clients int   `json:"clients"`
	Bytes   int64 `json:"bytes"` // of data in the disk
	Kept    int64 `json:"kept"`  // of them in the file
	Done    bool  `json:"done"`
	Full    bool  `json:"full,omitempty"` // there is no room to keep what is read
	Damaged int   `json:"damaged,omitempty"`

	Problem string `json:"problem,omitempty"` // why it is not served
}

// fault is a chunk that could not be had, as the server is to tell it.
type fault struct {
	Number uint64    `json:"number"`
	Region string    `json:"region"`
	Ref    image.Ref `json:"ref"`
	Object string    `json:"object"`
	Offset int64     `json:"offset"`
	Text   string    `json:"text"`
}

func controlSocket(sockets string) string { return filepath.Join(sockets, "nbd.ctl") }
func nbdSocket(sockets string) string     { return filepath.Join(sockets, "nbd.sock") }
func lockFile(dir string) string          { return filepath.Join(dir, "lock") }
func identityFile(dir string) string      { return filepath.Join(dir, "process.json") }
