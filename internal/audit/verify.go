package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/store"
)

// Report is what Verify found.
type Report struct {
	Tenant   string    `json:"tenant"`
	Seals    int64     `json:"seals"`    // proved
	Events   int64     `json:"events"`   // proved
	Unsealed int64     `json:"unsealed"` // too new to be sealed
	Expired  int64     `json:"expired"`  // removed after their time
	From     time.Time `json:"from,omitzero"`
	To       time.Time `json:"to,omitzero"`
	Sequence int64     `json:"sequence"` // of the last seal; whoever keeps it with Hash elsewhere can prove a later chain by it
	Hash     string    `json:"hash"`
	Broken   string    `json:"broken,omitempty"` // the first thing that is not as it was sealed; empty: all is
}

// broken is a finding, as opposed to a failure to look.
type broken struct{ what string }

func (b broken) Error() string { return b.what }

func breakf(format string, args ...any) error { return broken{fmt.Sprintf(format, args...)} }

// Mark is a seal that somebody kept outside: the chain must still have it, or have swept it away by age.
type Mark struct {
	Sequence int64
	Hash     string
}

// Verify proves the chain of a tenant, and that it has kept mark unless that is zero. It reads at one point in time.
func (l *Log) Verify(ctx context.Context, tenant string, mark Mark) (Report, error) {
	v := verifier{log: l, mark: mark, Report: Report{Tenant: strings.ToLower(tenant)}}
	err := l.Store.View(ctx, func(tx store.Tx) error { v.tx = tx; return v.run() })
	var found broken
	if errors.As(err, &found) {
		v.Broken = found.what
		err = nil
	}
	return v.Report, err
}

type verifier struct {
	Report
	log    *Log
	mark   Mark
	tx     store.Tx
	key    []byte
	head   head
	anchor anchor
	last   link   // the seal before
	cursor string // key of the last event that was proved in the batch of last
}

func (v *verifier) run() error {
	if err := v.ends(); err != nil {
		return err
	}
	v.last = link{Sequence: v.anchor.Sequence, Batch: v.anchor.Batch, Hash: v.anchor.Hash, End: true}
	for {
		docs, err := v.tx.List(store.Query{Kind: SealKind, Prefix: sealPrefix(v.Tenant), After: sealKey(v.Tenant, v.last.Sequence), Limit: 16})
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := v.link(d); err != nil {
				return err
			}
		}
		if len(docs) == 0 {
			break
		}
	}
	sealed := v.last.Batch
	if !v.last.End {
		sealed--
	}
	if v.last.Sequence != v.head.Sequence || !bytes.Equal(v.last.Hash, v.head.Hash) || v.head.Sealed != sealed {
		return breakf("seal %d is missing: the chain ends at %d and should end at %d", v.last.Sequence+1, v.last.Sequence, v.head.Sequence)
	}
	if v.mark.Sequence > v.last.Sequence {
		return breakf("seal %d, which was noted outside, is missing: the chain ends at %d", v.mark.Sequence, v.last.Sequence)
	}
	return v.strays()
}

// ends checks what the chain is said to begin and to end with.
func (v *verifier) ends() (err error) {
	var hd, ad store.Document
	if v.head, hd, err = readHead(v.tx, v.Tenant); err != nil {
		return breakf("the head of the chain cannot be read: %s", err)
	}
	if v.anchor, ad, err = readAnchor(v.tx, v.Tenant); err != nil {
		return breakf("the beginning of the chain cannot be read: %s", err)
	}
	v.Sequence, v.Hash, v.Expired = v.head.Sequence, hex.EncodeToString(v.head.Hash), v.anchor.Events
	v.key, err = v.log.key(v.tx)
	switch {
	case errors.Is(err, errNoKey) && v.head.Sequence == 0:
		return nil // nothing was sealed yet
	case err != nil:
		return breakf("the key of the seals: %s", err)
	case hd.ETag == 0:
		return v.headless()
	case v.head.Sequence > 0 && (v.head.Tenant != v.Tenant || !hmac.Equal(v.head.MAC, v.head.mac(v.key))):
		return breakf("the head of the chain was changed")
	case ad.ETag != 0 && (v.anchor.Tenant != v.Tenant || !hmac.Equal(v.anchor.MAC, v.anchor.mac(v.key))):
		return breakf("the beginning of the chain was changed")
	}
	return nil
}

// headless is a tenant without a head: fine if it has nothing else either.
func (v *verifier) headless() error {
	for _, prefix := range []string{sealPrefix(v.Tenant), eventPrefix(v.Tenant)} {
		docs, err := v.tx.List(store.Query{Prefix: prefix, Limit: 1})
		if err != nil {
			return err
		}
		if len(docs) > 0 {
			return breakf("the head of the chain is missing")
		}
	}
	return nil
}

// link proves one seal and its events.
func (v *verifier) link(d store.Document) error {
	n, err := strconv.ParseInt(strings.TrimPrefix(d.Key, sealPrefix(v.Tenant)), 10, 64)
	if err != nil {
		return breakf("%s is no seal", d.Key)
	}
	if n != v.last.Sequence+1 {
		return breakf("seal %d is missing", v.last.Sequence+1)
	}
	k, err := v.log.readLink(d, v.key)
	switch {
	case err != nil:
		return breakf("seal %d %s", n, err)
	case k.Tenant != v.Tenant || !bytes.Equal(k.Previous, v.last.Hash):
		return breakf("seal %d does not follow from seal %d", n, v.last.Sequence)
	case v.last.End && k.Batch != v.last.Batch+1 || !v.last.End && k.Batch != v.last.Batch:
		return breakf("seal %d is of batch %d, which is not its turn", n, k.Batch)
	case n == v.mark.Sequence && hex.EncodeToString(k.Hash) != strings.ToLower(v.mark.Hash):
		return breakf("seal %d is not the one that was noted outside", n)
	}
	if v.last.End {
		v.cursor = ""
	}
	if err := v.events(k); err != nil {
		return err
	}
	if v.From.IsZero() || k.From.Before(v.From) {
		v.From = k.From
	}
	if k.To.After(v.To) {
		v.To = k.To
	}
	v.last, v.Seals = k, v.Seals+1
	return nil
}

// events compares what a seal says with what is there.
func (v *verifier) events(k link) error {
	docs, err := v.tx.List(store.Query{Kind: EventKind, All: []string{batchTerm(v.Tenant, k.Batch)}, After: v.cursor, Limit: k.count() + 1})
	if err != nil {
		return err
	}
	want := func(i int) []byte {
		if i >= k.count() {
			return nil
		}
		return k.Digests[i*sizeHash : (i+1)*sizeHash]
	}
	for i := range k.count() {
		if i >= len(docs) {
			return breakf("an event of seal %d is missing: %d of %d are there", k.Sequence, len(docs), k.count())
		}
		got := digest(docs[i])
		switch {
		case bytes.Equal(got, want(i)):
		case bytes.Equal(got, want(i+1)):
			return breakf("an event of seal %d is missing, before %s", k.Sequence, docs[i].Key)
		case i+1 < len(docs) && bytes.Equal(digest(docs[i+1]), want(i)):
			return breakf("the event %s was put into seal %d afterwards", docs[i].Key, k.Sequence)
		default:
			return breakf("the event %s is not as seal %d has it", docs[i].Key, k.Sequence)
		}
		v.cursor = docs[i].Key
		v.Events++
	}
	if k.End && len(docs) > k.count() {
		return breakf("the event %s was put into seal %d afterwards", docs[k.count()].Key, k.Sequence)
	}
	return nil
}

// strays looks for events that no seal covers and that do not wait for one either.
func (v *verifier) strays() error {
	for after := ""; ; {
		docs, err := v.tx.List(store.Query{Prefix: eventPrefix(v.Tenant), After: after, Limit: page})
		if err != nil || len(docs) == 0 {
			return err
		}
		for _, d := range docs {
			after = d.Key
			if len(d.Terms) != 1 || d.Kind != EventKind {
				return breakf("the event %s is outside the chain", d.Key)
			}
			number, _ := strings.CutPrefix(d.Terms[0], batchPrefix(v.Tenant))
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil || d.Terms[0] != batchTerm(v.Tenant, n) || n > v.head.Open || n <= v.anchor.Batch && !v.anchor.Clearing {
				return breakf("the event %s is outside the chain", d.Key)
			}
			if n > v.last.Batch || n == v.last.Batch && !v.last.End && d.Key > v.cursor {
				v.Unsealed++
			}
		}
	}
}
