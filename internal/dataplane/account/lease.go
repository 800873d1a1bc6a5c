package account

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
)

// lease does what x-ms-lease-action says to a lease, and gives the status and headers of the answer.
func (x *exchange) lease(l *content.Lease) (status int, err error) {
	h, now := x.r.Header, x.now()
	id, proposed := h.Get("x-ms-lease-id"), h.Get("x-ms-proposed-lease-id")
	status = http.StatusOK
	switch action := strings.ToLower(h.Get("x-ms-lease-action")); action {
	case "acquire":
		seconds, convErr := strconv.Atoi(h.Get("x-ms-lease-duration"))
		if convErr != nil || seconds < -1 {
			return 0, wire.BadHeader("x-ms-lease-duration")
		}
		status, err = http.StatusCreated, l.Acquire(time.Duration(seconds)*time.Second, proposed, now)
	case "renew":
		err = l.Renew(id, now)
	case "change":
		err = l.Change(id, proposed, now)
	case "release":
		if err = l.Release(id, now); err == nil {
			return status, nil
		}
	case "break":
		period := -1
		if text := h.Get("x-ms-lease-break-period"); text != "" {
			if period, err = strconv.Atoi(text); err != nil || period < 0 {
				return 0, wire.BadHeader("x-ms-lease-break-period")
			}
		}
		left, err := l.Break(time.Duration(period)*time.Second, now)
		x.w.Header().Set("x-ms-lease-time", strconv.Itoa(int(left.Round(time.Second)/time.Second)))
		return http.StatusAccepted, err
	case "":
		return 0, wire.MissingHeader("x-ms-lease-action")
	default:
		return 0, wire.BadHeader("x-ms-lease-action")
	}
	if err == nil {
		x.w.Header().Set("x-ms-lease-id", l.ID)
	}
	return status, err
}

// mayLease: who may delete may break a lease too (the service's tables of a SAS's letters; a role must allow to write).
func (x *exchange) mayLease(r right) error {
	err := x.may(r)
	if _, signed := x.proof.(sas); err != nil && signed && strings.EqualFold(x.r.Header.Get("x-ms-lease-action"), "break") {
		r.letter = 'd'
		return x.may(r)
	}
	return err
}

func (x *exchange) leaseContainer() error {
	if err := x.mayLease(x.containerRight('w', "/write")); err != nil {
		return err
	}
	status := 0
	b, err := x.Accounts.ChangeContainer(x.r.Context(), x.account, x.container, func(b *storage.Box) (err error) {
		if err := wire.Conditions(x.r, b.Changed); err != nil {
			return err
		}
		status, err = x.lease(&b.Lease)
		return err
	})
	if err != nil {
		return err
	}
	x.stampBox(b)
	return x.empty(status)
}

func (x *exchange) leaseBlob() error {
	if err := x.mayLease(writes); err != nil {
		return err
	}
	at, err := x.address()
	if err != nil {
		return err
	}
	status := 0
	b, err := x.Blobs.ChangeLease(x.r.Context(), at, func(b *content.Blob) (err error) {
		if err := wire.Conditions(x.r, b.Modified()); err != nil {
			return err
		}
		status, err = x.lease(&b.Lease)
		return err
	})
	if err != nil {
		return err
	}
	x.stamp(b)
	return x.empty(status)
}
