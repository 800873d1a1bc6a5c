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
	Credentials         = credential.Credentials         // all of an application, or of its service principal in one tenant
	Secret              = credential.Secret              // a password of an application
	SecretSpec          = credential.SecretSpec          // what a new one is like
	Certificate         = credential.Certificate         // a key credential
	FederatedCredential = credential.FederatedCredential // trust in another issuer's tokens
	Password            = credential.Password            // of a person
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
