package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"vitrine/internal/arm"
)

// Server is what a running server writes into its data folder, and into the file that --ready-file names.
type Server struct {
	Proxy    string `json:"proxy"`    // "http://127.0.0.1:8440": the CONNECT proxy, which also takes TLS directly
	Bundle   string `json:"bundle"`   // path of the system's roots and ours, PEM
	CA       string `json:"ca"`       // path of ours alone
	Operator string `json:"operator"` // path of the operator's Unix socket
	PID      int    `json:"pid"`
	Version  string `json:"version"`
}

// ServerFile is the name of that file in the data folder.
const ServerFile = "server.json"

// ReadServer finds the server of a data folder.
func ReadServer(data string) (Server, error) {
	var s Server
	raw, err := os.ReadFile(filepath.Join(data, ServerFile))
	if os.IsNotExist(err) {
		return s, fmt.Errorf("no server has been started on the data folder %s; start one with: vitrine serve --data %s", data, data)
	}
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(raw, &s)
	return s, err
}

// The operator's acts. Each names its tenant by ID or name.
type (
	// TenantRequest makes a tenant with one subscription and a first service principal. Empty IDs are drawn.
	TenantRequest struct {
		Name         string `json:"name"`
		ID           string `json:"id,omitempty"`
		Subscription string `json:"subscription,omitempty"`
	}
	// Tenant is what came of it. The password is shown this once.
	Tenant struct {
		TenantID       string `json:"tenantId"`
		Name           string `json:"displayName"`
		SubscriptionID string `json:"subscriptionId"`
		AppID          string `json:"appId"`
		ObjectID       string `json:"objectId"`
		Password       string `json:"password"`
	}
	// TenantInfo is one line of the list of tenants.
	TenantInfo struct {
		TenantID      string             `json:"tenantId"`
		Name          string             `json:"displayName"`
		Subscriptions []SubscriptionInfo `json:"subscriptions"`
	}
	// SubscriptionRequest makes a further subscription of a tenant.
	SubscriptionRequest struct {
		Tenant string `json:"tenant"`
		Name   string `json:"name"`
		ID     string `json:"id,omitempty"`
	}
	// SubscriptionInfo is a subscription.
	SubscriptionInfo struct {
		SubscriptionID string `json:"subscriptionId"`
		Name           string `json:"displayName"`
		TenantID       string `json:"tenantId,omitempty"`
	}
	// AppRequest registers an application. SecretEnd is when its secret expires; zero: in a year.
	AppRequest struct {
		Name        string    `json:"name"`
		Tenant      string    `json:"tenant"`
		MultiTenant bool      `json:"multiTenant"`
		SecretEnd   time.Time `json:"secretEnd,omitzero"`
	}
	// App is what came of it. ObjectID is its service principal's.
	App struct {
		AppID    string `json:"appId"`
		ObjectID string `json:"objectId"`
		TenantID string `json:"tenantId"`
		Password string `json:"password,omitempty"`
	}
	// ConsentRequest makes an application known in a tenant, as an administrator's consent does.
	ConsentRequest struct {
		AppID  string `json:"appId"`
		Tenant string `json:"tenant"`
	}
	// RoleRequest assigns a role, by its name or GUID, at a scope.
	RoleRequest struct {
		Role      string `json:"role"`
		Scope     string `json:"scope"`
		Principal string `json:"principalId"`
	}
	// Role is the assignment that is there now.
	Role struct {
		ID        string `json:"id"`
		Role      string `json:"roleDefinitionName"`
		Scope     string `json:"scope"`
		Principal string `json:"principalId"`
	}
	// TokenRequest asks for an access token. An empty AppID is the tenant's first service principal; Lifetime is in
	// seconds, 0 being the usual hour.
	TokenRequest struct {
		Tenant   string `json:"tenant"`
		AppID    string `json:"appId,omitempty"`
		Resource string `json:"resource,omitempty"` // empty: Azure Resource Manager
		Lifetime int    `json:"lifetime,omitempty"`
	}
	// CollectRequest asks to free image bytes that nobody names. What is younger than Grace, in seconds, stays.
	CollectRequest struct {
		Grace int `json:"grace"`
	}
	// Collected is what that freed.
	Collected struct {
		Manifests int   `json:"manifests"`
		Objects   int   `json:"objects"`             // deleted
		Bytes     int64 `json:"bytes"`               // of these
		Kept      int   `json:"kept"`                // objects that stay
		Packs     int   `json:"packs,omitempty"`     // pack objects that were deleted or rewritten
		PackBytes int64 `json:"packBytes,omitempty"` // by which the object store has shrunk
	}
	// Operation is long-running work that has not ended.
	Operation struct {
		ID       string    `json:"id"`
		Work     string    `json:"work"`
		Resource string    `json:"resource"`
		Status   string    `json:"status"`
		Done     []string  `json:"done"` // names of the steps behind it
		Start    time.Time `json:"startTime"`
	}
	// Token is an access token.
	Token struct {
		AccessToken string    `json:"accessToken"`
		TenantID    string    `json:"tenantId"`
		AppID       string    `json:"appId"`
		Expires     time.Time `json:"expiresOn"`
	}
)

// Operator speaks to a server through the Unix socket of whoever runs it.
type Operator struct {
	socket string
	http   *http.Client
}

// NewOperator makes a client of the socket at a path.
func NewOperator(socket string) *Operator {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Operator{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Do posts in (nil: GET) to a path and decodes the answer into out.
func (o *Operator) Do(ctx context.Context, path string, in, out any) error {
	method, body := http.MethodGet, io.Reader(nil)
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		method, body = http.MethodPost, bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://operator"+path, body)
	if err != nil {
		return err
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer on its operator socket %s: %w", o.socket, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return ReadError(resp.StatusCode, raw)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}

// ReadError makes an error of an answer in ARM's envelope.
func ReadError(status int, body []byte) error {
	var envelope struct{ Error *arm.Error }
	if json.Unmarshal(body, &envelope) != nil || envelope.Error == nil {
		return fmt.Errorf("the server answered %d: %.300s", status, body)
	}
	envelope.Error.Status = status
	return envelope.Error
}

// Connect opens a stream to a port of a machine, by its public or private address, whether or not the port is bound on
// this host. The network security groups decide as they do for any other connection.
func (o *Operator) Connect(ctx context.Context, host string, port string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", o.socket)
	if err != nil {
		return nil, fmt.Errorf("the server does not answer on its operator socket %s: %w", o.socket, err)
	}
	return upgrade(conn, net.JoinHostPort(host, port))
}
