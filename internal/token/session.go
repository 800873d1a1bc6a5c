package token

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/store"
)

// sessionRoom holds the families of refresh tokens: all that came from one sign-in of a person at a client.
const sessionRoom = "family"

// Session is one such family.
type Session struct {
	Client     string    `json:"client"`
	HomeTenant string    `json:"homeTenant"` // of the person
	HomeObject string    `json:"homeObject"`
	Begun      time.Time `json:"begun"`
}

// Begin starts a family that ends by itself at a time, and returns its ID.
func Begin(tx store.Tx, f Session, until time.Time) (string, error) {
	id := uuid.NewString()
	return id, Keep(tx, sessionRoom, id, f, until, "person:"+f.HomeTenant+"/"+f.HomeObject)
}

// Extend lets a family live on until a time. ErrUnknownSecret, ErrExpired: it ended.
func Extend(tx store.Tx, id string, now, until time.Time) (Session, error) {
	f, held, err := Kept[Session](tx, sessionRoom, id, now)
	if err != nil {
		return f, err
	}
	held.Expires = until
	return f, held.Change(tx, f)
}

// End ends a family: its refresh tokens and its access tokens stop working. Twice is once.
func End(tx store.Tx, id string) error {
	_, held, err := Kept[Session](tx, sessionRoom, id, time.Time{})
	if errors.Is(err, ErrUnknownSecret) {
		return nil
	}
	if err != nil {
		return err
	}
	return held.Drop(tx)
}

// EndAll ends all families of a person, as when a password changes.
func EndAll(tx store.Tx, homeTenant, homeObject string) error {
	_, held, err := KeptWith[Session](tx, "person:"+homeTenant+"/"+homeObject)
	for _, h := range held {
		err = errors.Join(err, h.Drop(tx))
	}
	return err
}

// Lives gives ErrUnknownSecret or ErrExpired for a family that ended.
func Lives(tx store.Tx, id string, now time.Time) error {
	_, _, err := Kept[Session](tx, sessionRoom, id, now)
	return err
}

// Alive says whether the family of an access token still lives; a token without one is not asked.
func (s *Service) Alive(ctx context.Context, c Claims) (bool, error) {
	if c.SessionID == "" {
		return true, nil
	}
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error { return Lives(tx, c.SessionID, s.cfg.Now()) })
	if errors.Is(err, ErrUnknownSecret) || errors.Is(err, ErrExpired) {
		return false, nil
	}
	return err == nil, err
}
