package directory

import (
	"context"
	"errors"
	"time"

	"vitrine/internal/directory/credential"
	"vitrine/internal/store"
)

// The forms of credentials.

type (
	// Credentials is all of an application, or of its service principal in one tenant.
	Credentials = credential.Credentials
	// Secret is a password of an application.
	Secret = credential.Secret
	// SecretSpec is what a new one is like.
	SecretSpec = credential.SecretSpec
	// Certificate is a key credential.
	Certificate = credential.Certificate
	// FederatedCredential is trust in another issuer's tokens.
	FederatedCredential = credential.FederatedCredential
	// Password is of a person.
	Password = credential.Password
)

// NewCertificate makes a key credential of an X.509 certificate in DER. start and end narrow its own validity; zero: as it is.
func NewCertificate(der []byte, name string, start, end time.Time) (Certificate, error) {
	return credential.NewCertificate(der, name, start, end)
}

// ClientCertificates lists the certificates with which an application may prove itself in a tenant: its own, and those of its
// service principal there.
func (d *Directory) ClientCertificates(ctx context.Context, tenantID, appID string) ([]Certificate, error) {
	return view(ctx, d, func(tx store.Tx) ([]Certificate, error) {
		a, err := d.ApplicationIn(tx, appID)
		if err != nil {
			return nil, err
		}
		sp, err := d.PrincipalIn(tx, tenantID, appID)
		if errors.Is(err, ErrPrincipalNotFound) {
			err = nil
		}
		return append(a.Certificates, sp.Certificates...), err
	})
}
