package directory

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"vitrine/internal/directory/credential"
	"vitrine/internal/store"
)

// HashPassword checks a password against the policy (ErrInvalid) and hashes it. It takes tens of milliseconds and waits for its turn, so
// it belongs outside of a transaction.
func (d *Directory) HashPassword(ctx context.Context, text, upn string) (Password, error) {
	if err := credential.CheckPassword(text, upn); err != nil {
		return Password{}, err
	}
	done, err := d.turn(ctx)
	if err != nil {
		return Password{}, err
	}
	defer done()
	return credential.NewPassword(text), nil
}

// turn waits until one more password may be hashed.
func (d *Directory) turn(ctx context.Context) (done func(), err error) {
	select {
	case d.hashing <- struct{}{}:
		return func() { <-d.hashing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("directory: wait to hash a password: %w", ctx.Err())
	}
}

// NewPassword draws a password that fits the policy, for an operator to hand over.
func NewPassword() string { return credential.NewText() }

// VerifyPassword proves a member by userPrincipalName and password. Its errors are ErrUserNotFound, ErrWrongPassword (also:
// has none, is a guest) and ErrDisabled (the right password). All take the same time. Who counts failures, and answers them all
// alike, is the door.
func (d *Directory) VerifyPassword(ctx context.Context, upn, text string) (User, error) {
	u, err := d.UserByName(ctx, upn)
	if err != nil && !errors.Is(err, ErrUserNotFound) {
		return User{}, err
	}
	wrong := fmt.Errorf("user %.120q: %w", upn, ErrWrongPassword)
	if err != nil {
		wrong = err
	}
	if utf8.RuneCountInString(text) > credential.MaxPassword || len(text) > 4*credential.MaxPassword {
		return User{}, wrong
	}
	done, err := d.turn(ctx)
	if err != nil {
		return User{}, err
	}
	defer done()
	if !u.Password.Matches(text) || u.UserType != Member {
		return User{}, wrong
	}
	if !u.AccountEnabled {
		return User{}, fmt.Errorf("user %s: %w", u.UserPrincipalName, ErrDisabled)
	}
	return u, nil
}

// SetPassword replaces a member's password; force asks for another at the next sign-in.
func (d *Directory) SetPassword(ctx context.Context, tenantID, objectID, text string, force bool) error {
	u, err := d.User(ctx, tenantID, objectID)
	if err != nil {
		return err
	}
	p, err := d.HashPassword(ctx, text, u.UserPrincipalName)
	if err != nil {
		return err
	}
	return d.store.Update(ctx, func(tx store.Tx) error {
		_, err := d.ChangeUserIn(tx, tenantID, objectID, func(u *User) error { u.Password, u.ForceChange = p, force; return nil })
		return err
	})
}
