// Package wire holds what the doors for bytes share of the Blob service's protocol: its errors, its headers, conditions,
// ranges, bodies and documents. It knows neither disks nor storage accounts.
//
//	handler ── error ──▶ Handler ──▶ <Error><Code>… with x-ms-error-code        request ──▶ Range, Conditions
package wire
