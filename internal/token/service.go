package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/store"
)

// The reasons for which Verify refuses a token; tell them apart with errors.Is.
var (
	ErrMalformed   = errors.New("it is not a token of the expected form")
	ErrUnknownKey  = errors.New("it is signed with a key that is not known")
	ErrSignature   = errors.New("its signature does not fit")
	ErrIssuer      = errors.New("its issuer, version and tenant do not agree")
	ErrExpired     = errors.New("it is expired")
	ErrNotYetValid = errors.New("it is not valid yet")
)

// maxToken is how long a token may be, in bytes. Ours have about 1 KiB.
const maxToken = 16 << 10

// Sealer keeps private keys unreadable at rest; package seal has one.
type Sealer interface {
	Seal(plain []byte, resource string) (string, error)
	Open(sealed, resource string) ([]byte, error)
}

// Config says what a Service works with. Zero durations have the defaults that their comments name.
type Config struct {
	Store   *store.Store
	Sealer  Sealer
	Now     func() time.Time // time.Now
	Signs   time.Duration    // how long a key signs before its successor takes over; 30 days
	Publish time.Duration    // how long before it signs a key is published; 24 hours, as clients keep key sets for a day
	Refresh time.Duration    // how old the copy of the keys in memory may grow; 1 minute
}

// Service makes and verifies tokens. It may be used from many goroutines.
type Service struct {
	cfg     Config
	keys    atomic.Pointer[keySet]
	loading sync.Mutex
}

// New returns a Service. The first signing key of an installation is made when the first token or key set is asked for.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&cfg.Signs, 30*24*time.Hour)
	set(&cfg.Publish, 24*time.Hour)
	set(&cfg.Refresh, time.Minute)
	return &Service{cfg: cfg}
}

// Request says what a token shall say. Whoever asks has proved the client and looked up its principal.
type Request struct {
	TenantID string
	Resource Resource
	AppID    string        // the client
	AppIDACR string        // how it proved itself; see Claims
	ObjectID string        // its service principal in the tenant
	Lifetime time.Duration // 0: Lifetime, the usual hour; at most MaxLifetime
	Version  int           // 1 or 2; 0 means 1. Microsoft's APIs always get 1, whatever is asked
	Roles    []string      // app roles that the principal holds at the resource
	User     *User         // the person for whom the client acts; ObjectID is then the person's
}

// Issue signs a token and returns it with the claims it carries.
func (s *Service) Issue(ctx context.Context, r Request) (string, Claims, error) {
	if r.Lifetime < 0 || r.Lifetime > MaxLifetime {
		return "", Claims{}, fmt.Errorf("token: a lifetime of %v is not between 0 and %v", r.Lifetime, MaxLifetime)
	}
	c := r.claims(s.cfg.Now())
	raw, err := s.sign(ctx, c)
	return raw, c, err
}

// sign makes a token of claims with the key that signs now.
func (s *Service) sign(ctx context.Context, claims any) (string, error) {
	key, err := s.signingKey(ctx)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("token: encode claims: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256,
		Key: jose.JSONWebKey{Key: key.private, KeyID: key.ID}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("token: prepare key %s: %w", key.ID, err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("token: sign with key %s: %w", key.ID, err)
	}
	return signed.CompactSerialize()
}

func (r Request) claims(now time.Time) Claims {
	c := r.application(now)
	if r.User != nil {
		r.User.claims(&c, r)
	}
	return c
}

// application gives the claims that name client and audience.
func (r Request) application(now time.Time) Claims {
	version := r.Version
	if version == 0 || r.Resource.API != Application {
		version = 1
	}
	lifetime := r.Lifetime
	if lifetime == 0 {
		lifetime = Lifetime
	}
	c := Claims{Audience: r.Resource.Audience, Issuer: Issuer(r.TenantID, version), IDP: Issuer(r.TenantID, 1), IDType: "app",
		IssuedAt: now.Add(-backdate).Unix(), NotBefore: now.Add(-backdate).Unix(), Expiry: now.Add(lifetime).Unix(),
		ObjectID: r.ObjectID, Subject: r.ObjectID, TenantID: r.TenantID, UniqueID: newUniqueID(), Roles: r.Roles}
	if version == 2 {
		c.Version, c.AZP, c.AZPACR, c.IDP = "2.0", r.AppID, r.AppIDACR, ""
		c.Audience = r.Resource.AppID // a v2.0 token names its audience by client ID, however it was asked for
		return c
	}
	c.Version, c.AppID, c.AppIDACR = "1.0", r.AppID, r.AppIDACR
	return c
}

// newUniqueID makes a uti: 16 random bytes, as Entra writes them.
func newUniqueID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Verify proves that this installation signed raw, that it is a token of its tenant and that it is valid now. The caller
// still has to check the audience and that the principal exists. With an ErrExpired or ErrNotYetValid the claims are
// returned too, since by then they are known to be true; with any other error they are what the token alleges, for
// the message only, and must not be believed.
func (s *Service) Verify(ctx context.Context, raw string) (Claims, error) {
	if len(raw) > maxToken {
		return Claims{}, fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, maxToken)
	}
	// The allow-list of one algorithm is what refuses alg none and HS256 keyed with our public key. Headers that point to
	// a key (jwk, jku, x5u) are never followed: the key is looked up by kid among our own.
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	alleged := allegedClaims(signed)
	key, err := s.publicKey(ctx, signed.Signatures[0].Header.KeyID)
	if err != nil {
		return alleged, err
	}
	payload, err := signed.Verify(&key.private.PublicKey)
	if err != nil {
		return alleged, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return alleged, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return c, c.validAt(s.cfg.Now())
}

func (c Claims) validAt(now time.Time) error {
	switch {
	case !c.consistent() || c.ObjectID == "" || c.Audience == "":
		return ErrIssuer
	case now.Unix() >= c.Expiry:
		return ErrExpired
	case now.Unix() < c.NotBefore:
		return ErrNotYetValid
	}
	return nil
}

// allegedClaims reads the claims of a token before its signature is checked.
func allegedClaims(signed *jose.JSONWebSignature) Claims {
	var c Claims
	if json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &c) != nil {
		return Claims{}
	}
	return c
}
