package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/directory/credential"
	"vitrine/internal/store"
)

// AddSecret makes a further secret of an application and returns its text, which is not kept, and its record.
func (d *Directory) AddSecret(ctx context.Context, appID string, spec SecretSpec) (text string, s Secret, err error) {
	err = d.store.Update(ctx, func(tx store.Tx) error {
		text, s, err = d.AddSecretIn(tx, appID, spec)
		return err
	})
	return text, s, err
}

// AddSecretIn is AddSecret as a part of tx.
func (d *Directory) AddSecretIn(tx store.Tx, appID string, spec SecretSpec) (text string, s Secret, err error) {
	_, err = d.ChangeApplicationIn(tx, appID, func(a *Application) error {
		text, s, err = d.addSecret(&a.Credentials, a.AppID, spec)
		return err
	})
	return text, s, err
}

// AddPrincipalSecretIn makes a further secret of a service principal, good in its tenant only.
func (d *Directory) AddPrincipalSecretIn(tx store.Tx, tenantID, appID string, spec SecretSpec) (text string, s Secret, err error) {
	_, err = d.ChangePrincipalIn(tx, tenantID, appID, func(p *ServicePrincipal) error {
		text, s, err = d.addSecret(&p.Credentials, p.AppID, spec)
		return err
	})
	return text, s, err
}

func (d *Directory) addSecret(c *Credentials, appID string, spec SecretSpec) (string, Secret, error) {
	if len(c.Secrets) >= credential.MaxSecrets {
		return "", Secret{}, fmt.Errorf("application %s has %d secrets, remove one first: %w", appID, credential.MaxSecrets, ErrInvalid)
	}
	text, s, err := credential.NewSecret(spec, d.now())
	if err == nil {
		c.Secrets = append(c.Secrets, s)
	}
	return text, s, err
}

// RemoveSecret makes a secret unusable. Tokens that it brought stay valid until they expire.
func (d *Directory) RemoveSecret(ctx context.Context, appID, keyID string) error {
	return d.store.Update(ctx, func(tx store.Tx) error {
		_, err := d.ChangeApplicationIn(tx, appID, func(a *Application) error { return a.RemoveSecret(keyID) })
		return err
	})
}

// VerifySecret proves that text is a secret of the application at now, and tells which one. Its errors are
// ErrApplicationNotFound, ErrWrongSecret (also: not yet valid) and ErrExpiredSecret (the right text, too late).
// An unknown application and a secret whose hint fits nothing cost as much time as a wrong one.
func (d *Directory) VerifySecret(ctx context.Context, appID, text string, now time.Time) (keyID string, err error) {
	return d.VerifyClientSecret(ctx, "", appID, text, now)
}

// VerifyClientSecret is VerifySecret for a sign-in to a tenant: also the secrets of the application's service principal there are good.
func (d *Directory) VerifyClientSecret(ctx context.Context, tenantID, appID, text string, now time.Time) (keyID string, err error) {
	secrets, err := view(ctx, d, func(tx store.Tx) ([]Secret, error) {
		a, err := d.ApplicationIn(tx, appID)
		if err != nil || tenantID == "" {
			return a.Secrets, err
		}
		sp, err := d.PrincipalIn(tx, tenantID, appID)
		if errors.Is(err, ErrPrincipalNotFound) {
			err = nil
		}
		return append(a.Secrets, sp.Secrets...), err
	})
	if err != nil {
		credential.Decoy(text)
		return "", err
	}
	return credential.Verify(secrets, appID, text, now)
}
