package operation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/blob"
	"vitrine/internal/store"
)

// Kind is the store's kind of operation documents.
const Kind = "operation"

// Status is how far an operation is.
type Status string

// The statuses. The last three are terminal.
const (
	Pending   Status = "Pending"
	Running   Status = "Running"
	Succeeded Status = "Succeeded"
	Failed    Status = "Failed"
	Canceled  Status = "Canceled"
)

// Operation is the record of one piece of long-running work.
type Operation struct {
	ID        string          `json:"id"`   // as in the URL that a client polls
	Work      string          `json:"work"` // which Work does it
	Resource  string          `json:"resource"`
	Action    string          `json:"action"` // the permission that the request needed
	Tenant    string          `json:"tenant"`
	Principal string          `json:"principal,omitempty"` // object ID of who began it
	Input     json.RawMessage `json:"input,omitempty"`     // what the work needs, callers' principals included, never tokens
	State     json.RawMessage `json:"state,omitempty"`     // what steps hand to later steps
	Output    json.RawMessage `json:"output,omitempty"`
	Origin    json.RawMessage `json:"origin,omitempty"` // the request that began it, for the activity log
	Sealed    bool            `json:"sealed,omitempty"` // Output is a sealed text, bound to Resource
	Done      []string        `json:"done,omitempty"`   // names of the finished steps
	Tries     int             `json:"tries,omitempty"`
	Cancel    bool            `json:"cancel,omitempty"` // somebody asked for an end
	Status    Status          `json:"status"`
	Error     *arm.Error      `json:"error,omitempty"`
	Start     time.Time       `json:"start"`
	End       time.Time       `json:"end,omitzero"`
}

// Terminal tells whether nothing more will happen.
func (o *Operation) Terminal() bool {
	return o.Status == Succeeded || o.Status == Failed || o.Status == Canceled
}

// Step is one resumable piece of work. Do must be safe to run twice.
type Step struct {
	Name string
	Do   func() error
}

// Again is the error of a step that waits for something: it is run again after the given time, without counting as a
// failed try. It holds no worker meanwhile.
type Again struct{ After time.Duration }

func (a Again) Error() string { return fmt.Sprintf("wait %s", a.After) }

func key(id string) string { return Kind + "/" + id }

// term is an index term that ends in a key; a key may be longer than a term.
func term(prefix, key string) string {
	if len(prefix)+len(key) <= store.MaxTerm {
		return prefix + key
	}
	sum := sha256.Sum256([]byte(key))
	return prefix + hex.EncodeToString(sum[:])
}

// Get reads an operation; store.ErrNotFound when there is none.
func Get(tx store.Tx, id string) (*Operation, error) {
	o, _, err := load(tx, id)
	return o, err
}

func load(tx store.Tx, id string) (*Operation, store.Document, error) {
	if !store.Storable(key(id)) {
		return nil, store.Document{}, store.ErrNotFound
	}
	d, err := tx.Get(key(id))
	if err != nil {
		return nil, d, err
	}
	var o Operation
	if err := json.Unmarshal(d.Body, &o); err != nil {
		return nil, d, fmt.Errorf("operation %s: %w", id, err)
	}
	return &o, d, nil
}

// Begin records an operation that is due at once. The caller's transaction writes the resource too.
func Begin(tx store.Tx, o Operation) error {
	o.Status = Pending
	return save(tx, &o, 0, o.Start)
}

func save(tx store.Tx, o *Operation, etag int64, due time.Time) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if o.Terminal() {
		due = time.Time{}
	}
	terms := []string{term("resource:", o.Resource)}
	if !o.Terminal() {
		terms = append(terms, term("open:", o.Resource), unfinished)
	} else {
		terms = append(terms, endedOn(o.End))
	}
	_, err = tx.Put(store.Document{Key: key(o.ID), Kind: Kind, Terms: terms, Body: body, ETag: etag, Due: due})
	return err
}

// Open lists the operations on a resource (its key) that have not ended.
func Open(tx store.Tx, resource string) ([]*Operation, error) {
	return list(tx, store.Query{Kind: Kind, All: []string{term("open:", resource)}})
}

func list(tx store.Tx, q store.Query) ([]*Operation, error) {
	docs, err := tx.List(q)
	if err != nil {
		return nil, err
	}
	var open []*Operation
	for _, d := range docs {
		var o Operation
		if err := json.Unmarshal(d.Body, &o); err != nil {
			return nil, err
		}
		open = append(open, &o)
	}
	return open, nil
}

// unfinished is the term of every operation that has not ended.
const unfinished = "unfinished"

// Unfinished lists the operations of the whole installation that have not ended, at most limit.
func Unfinished(tx store.Tx, limit int) ([]*Operation, error) {
	return list(tx, store.Query{Kind: Kind, All: []string{unfinished}, Limit: limit})
}

// RequestCancel asks an operation to end before its next step. It is not an error when it has ended already.
func RequestCancel(tx store.Tx, id string) error {
	o, d, err := load(tx, id)
	if err != nil || o.Terminal() {
		return err
	}
	o.Cancel = true
	return save(tx, o, d.ETag, d.Due)
}

// failure turns what a step returned into what a client reads.
func failure(err error, id string) *arm.Error {
	var visible *arm.Error
	if errors.As(err, &visible) {
		return visible
	}
	if blob.IsFull(err) {
		return arm.Errorf(507, "InsufficientStorage", "The server's storage is full. Delete what is not needed any more, or give the server more space, then try again.").Because(err)
	}
	return arm.Internal(id, err)
}
