package grant

import (
	"context"
	"errors"
	"time"

	"vitrine/internal/store"
	"vitrine/internal/token"
)

// SessionLife is how long a browser stays signed in.
const SessionLife = 8 * time.Hour

const sessionRoom = "session"

// Open signs a browser in and returns the secret for its cookie. A new secret at each sign-in leaves no session to fix beforehand.
func (g *Grants) Open(ctx context.Context, a Account) (string, error) {
	secret := token.NewSecret()
	return secret, g.Store.Update(ctx, func(tx store.Tx) error {
		return token.Keep(tx, sessionRoom, secret, a, g.Now().Add(SessionLife))
	})
}

// Session says who is signed in behind a cookie, if anybody still is.
func (g *Grants) Session(ctx context.Context, secret string) (a Account, ok bool, err error) {
	if secret == "" {
		return a, false, nil
	}
	err = g.Store.View(ctx, func(tx store.Tx) error {
		a, _, err = token.Kept[Account](tx, sessionRoom, secret, g.Now())
		return err
	})
	if errors.Is(err, token.ErrUnknownSecret) || errors.Is(err, token.ErrExpired) {
		return a, false, nil
	}
	return a, err == nil, err
}

// Close signs a browser out.
func (g *Grants) Close(ctx context.Context, secret string) error {
	if secret == "" {
		return nil
	}
	return g.Store.Update(ctx, func(tx store.Tx) error {
		_, held, err := token.Kept[Account](tx, sessionRoom, secret, time.Time{})
		if errors.Is(err, token.ErrUnknownSecret) {
			return nil
		}
		if err != nil {
			return err
		}
		return held.Drop(tx)
	})
}
