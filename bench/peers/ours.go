package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"vitrine/internal/client"
)

// ours is a running vitrine with one tenant.
type ours struct {
	*process
	dir      string
	where    client.Server
	http     *http.Client
	operator *client.Operator
	tenant   client.Tenant
	arm      *client.ARM
	ready    float64 // seconds until it answered
}

const (
	armURL         = "https://management.azure.com"
	versionDisk    = "2024-03-02"
	versionGallery = "2023-07-03"
	versionMachine = "2024-07-01"
)

// startOurs runs the server, without limits on requests, and waits until the proxy answers.
func (b *bench) startOurs(ctx context.Context, args ...string) (*ours, error) {
	dir, err := b.scratch("ours")
	if err != nil {
		return nil, err
	}
	return b.startOursIn(ctx, dir, args...)
}

func (b *bench) startOursIn(ctx context.Context, dir string, args ...string) (_ *ours, err error) {
	o := &ours{dir: dir}
	data, ready := filepath.Join(dir, "data"), filepath.Join(dir, "ready")
	_ = os.Remove(ready) // of an earlier start in this folder
	argv := append([]string{b.vitrine, "serve", "--data", data, "--listen", "127.0.0.1:0", "--accel", "tcg", "--throttle", "-1", "--log-level", "warn", "--ready-file", ready}, args...)
	if o.process, err = start(argv, nil, nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.end()
		}
	}()
	if o.ready, err = o.await(ctx, func() bool { _, err := os.Stat(ready); return err == nil }); err != nil {
		return nil, err
	}
	if o.where, err = client.ReadServer(data); err != nil {
		return nil, err
	}
	if o.http, err = o.where.HTTP(); err != nil {
		return nil, err
	}
	o.operator = client.NewOperator(o.where.Operator)
	return o, nil
}

// end stops it.
func (o *ours) end() {
	o.stop()
}

// settle makes the tenant and a resource group in it.
func (o *ours) settle(ctx context.Context) (err error) {
	if err := o.operator.Do(ctx, "/v1/tenants", client.TenantRequest{Name: "contoso"}, &o.tenant); err != nil {
		return err
	}
	return o.join(ctx)
}

// join acts as the tenant's first principal.
func (o *ours) join(ctx context.Context) (err error) {
	if o.arm, err = client.NewARM(o.where, o.operator.Tokens(o.tenant.TenantID)); err != nil {
		return err
	}
	return o.arm.Do(ctx, http.MethodPut, o.group(), "2022-09-01", map[string]any{"location": home}, nil)
}

func (o *ours) group() string {
	return "/subscriptions/" + o.tenant.SubscriptionID + "/resourceGroups/bench"
}

func (o *ours) compute(rest string) string { return o.group() + "/providers/Microsoft.Compute/" + rest }

// uploadDisk makes a disk that waits for so many bytes and gives the signed URL to send them to.
func (o *ours) uploadDisk(ctx context.Context, name string, size int64) (id, url string, err error) {
	id = o.compute("disks/" + name)
	body := map[string]any{"location": home, "sku": map[string]any{"name": "Standard_LRS"}, "properties": map[string]any{
		"osType": "Linux", "hyperVGeneration": "V2", "creationData": map[string]any{"createOption": "Upload", "uploadSizeBytes": size}}}
	if err := o.arm.Do(ctx, http.MethodPut, id, versionDisk, body, nil); err != nil {
		return id, "", fmt.Errorf("disk: %w", err)
	}
	url, err = o.access(ctx, id, "Write")
	return id, url, err
}

// access gives a signed URL of a disk.
func (o *ours) access(ctx context.Context, id, access string) (string, error) {
	var grant struct {
		AccessSAS string `json:"accessSAS"`
	}
	err := o.arm.Do(ctx, http.MethodPost, id+"/beginGetAccess", versionDisk, map[string]any{"access": access, "durationInSeconds": 3600}, &grant)
	if err == nil && grant.AccessSAS == "" {
		err = errors.New("no signed URL came")
	}
	return grant.AccessSAS, err
}

func (o *ours) endAccess(ctx context.Context, id string) error {
	return o.arm.Do(ctx, http.MethodPost, id+"/endGetAccess", versionDisk, struct{}{}, nil)
}

// drain reads an answer to its end.
func drain(res *http.Response) error {
	_, err := io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}
