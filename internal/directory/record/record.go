// Package record is how an object of the directory lies in the store: one JSON document each.
//
// It owns encoding and the errors that name a document. It knows no type of object and no key:
//
//	a transaction, a key or a query ── Read, List, One ──▶ values ── Write, Put ──▶ the transaction
package record

import (
	"encoding/json"
	"errors"
	"fmt"

	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Read decodes the document at key, or gives missing when there is none.
func Read[T any](tx store.Tx, key string, missing error) (T, store.Document, error) {
	var v T
	doc, err := tx.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return v, doc, missing
	}
	if err != nil {
		return v, doc, fmt.Errorf("directory: read %s: %w", key, err)
	}
	err = Decode(doc, &v)
	return v, doc, err
}

// Decode reads the body of a document.
func Decode(doc store.Document, v any) error {
	if err := json.Unmarshal(doc.Body, v); err != nil {
		return fmt.Errorf("directory: document %s: %w", doc.Key, err)
	}
	return nil
}

// List decodes the documents that q selects.
func List[T any](tx store.Tx, q store.Query) ([]T, error) {
	docs, err := tx.List(q)
	if err != nil {
		return nil, fmt.Errorf("directory: list %s: %w", q.Kind, err)
	}
	out := make([]T, len(docs))
	for i, doc := range docs {
		if err := Decode(doc, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// One decodes the first document that q selects, or gives missing.
func One[T any](tx store.Tx, q store.Query, missing error) (T, error) {
	q.Limit = 1
	found, err := List[T](tx, q)
	if err == nil && len(found) == 0 {
		err = missing
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}

// Write stores v in doc, whose ETag says what it replaces (0: nothing).
func Write(tx store.Tx, doc store.Document, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("directory: encode %s: %w", doc.Key, err)
	}
	doc.Body = body
	_, err = tx.Put(doc)
	return err
}

// Absent says whether a key is free.
func Absent(tx store.Tx, key string) (bool, error) {
	_, err := tx.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("directory: read %s: %w", key, err)
	}
	return false, nil
}

// Put writes a document that must not exist yet.
func Put(tx store.Tx, doc store.Document, v any) error {
	if free, err := Absent(tx, doc.Key); err != nil {
		return err
	} else if !free {
		return fmt.Errorf("%s: %w", doc.Key, rule.ErrExists)
	}
	return Write(tx, doc, v)
}
