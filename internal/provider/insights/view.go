package insights

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/audit"
)

// text is Azure's pair of a word and its translation.
type text struct {
	Value     string `json:"value"`
	Localized string `json:"localizedValue"`
}

func word(s string) text { return text{s, s} }

type authorization struct {
	Action string `json:"action"`
	Scope  string `json:"scope"`
}

type httpRequest struct {
	ClientRequestID string `json:"clientRequestId,omitempty"`
	ClientIPAddress string `json:"clientIpAddress,omitempty"`
	Method          string `json:"method,omitempty"`
	URI             string `json:"uri,omitempty"`
}

// eventData is an event as Azure shows it (azure-rest-api-specs, activityLogs_API.json, EventData).
type eventData struct {
	Authorization  authorization     `json:"authorization"`
	Caller         string            `json:"caller,omitempty"`
	Channels       string            `json:"channels"`
	Claims         map[string]string `json:"claims"`
	CorrelationID  string            `json:"correlationId"`
	Description    string            `json:"description"`
	EventDataID    string            `json:"eventDataId"`
	EventName      text              `json:"eventName"`
	Category       text              `json:"category"`
	HTTPRequest    *httpRequest      `json:"httpRequest,omitempty"`
	ID             string            `json:"id"`
	Level          string            `json:"level"`
	Group          string            `json:"resourceGroupName,omitempty"`
	Provider       text              `json:"resourceProviderName"`
	ResourceID     string            `json:"resourceId,omitempty"`
	ResourceType   text              `json:"resourceType"`
	OperationID    string            `json:"operationId"`
	OperationName  text              `json:"operationName"`
	Properties     map[string]string `json:"properties,omitempty"`
	Status         text              `json:"status"`
	SubStatus      text              `json:"subStatus"`
	EventTimestamp string            `json:"eventTimestamp"`
	Submission     string            `json:"submissionTimestamp"`
	SubscriptionID string            `json:"subscriptionId,omitempty"`
	TenantID       string            `json:"tenantId"`
}

const stamp = "2006-01-02T15:04:05.0000000Z" // seven digits, as Azure's

// views are the lines that Azure has for an event: the answer to a request has a twin that tells that it came, which is
// not kept twice.
func views(e *audit.Event) []eventData {
	v := view(e, e.ID, e.Status, "EndRequest", "End request")
	if e.End || e.Count > 0 || e.Category != audit.Administrative || e.Status == audit.Failed && denied(e) {
		return []eventData{v}
	}
	twin := uuid.NewSHA1(uuid.NameSpaceOID, []byte("begin "+e.ID)).String()
	b := view(e, twin, audit.Started, "BeginRequest", "Begin request")
	b.Level, b.SubStatus, b.Properties = "Informational", text{}, nil
	if strings.HasSuffix(strings.ToLower(e.Action), "/write") && len(e.Facts) > 0 {
		b.Properties = map[string]string{"requestbody": body(e)} // Azure writes it so; az role assignment list-changelogs reads it
	}
	return []eventData{v, b}
}

func denied(e *audit.Event) bool {
	return e.Request.HTTPStatus == 401 || e.Request.HTTPStatus == 403
}

func view(e *audit.Event, id string, status audit.Status, name, localized string) eventData {
	at := e.Time.UTC()
	scope := e.Resource
	if scope == "" && e.Subscription != "" {
		scope = "/subscriptions/" + e.Subscription
	}
	operation := e.Operation
	if operation == "" {
		operation = e.Request.CorrelationID
	}
	v := eventData{
		Authorization: authorization{e.Action, scope}, Caller: caller(e), Channels: "Operation", Claims: claims(e),
		CorrelationID: e.Request.CorrelationID, EventDataID: id, EventName: text{name, localized}, Category: word(string(e.Category)),
		ID: strings.TrimSuffix(scope, "/") + "/events/" + id + "/ticks/" + strconv.FormatInt(ticks(at), 10), Level: "Informational", Group: e.Group,
		Provider: word(provider(e)), ResourceID: scope, ResourceType: word(e.Type), OperationID: operation, OperationName: word(e.Action),
		Status: word(string(status)), EventTimestamp: at.Format(stamp), Submission: at.Format(stamp), SubscriptionID: e.Subscription, TenantID: e.Tenant,
		Properties: map[string]string{},
	}
	if r := e.Request; r.Method != "" && !e.End {
		v.HTTPRequest = &httpRequest{r.ClientID, r.Source, r.Method, r.URI}
	}
	if s := e.Request.HTTPStatus; s != 0 && !e.End {
		long := meaning(s)
		short := strings.ReplaceAll(long, " ", "")
		v.SubStatus = text{short, fmt.Sprintf("%s (HTTP Status Code: %d)", long, s)}
		v.Properties["statusCode"] = short
	}
	if e.Status == audit.Failed {
		v.Level, v.Properties["statusMessage"] = "Error", strings.TrimSuffix(e.Code+": "+e.Message, ": ")
	}
	if len(e.Facts) > 0 && !e.End {
		v.Properties["responseBody"] = body(e)
	}
	if e.Request.ID != "" {
		v.Properties["serviceRequestId"] = e.Request.ID
	}
	if e.Count > 0 {
		v.Properties["repeated"], v.Properties["first"], v.Properties["last"] = strconv.Itoa(e.Count), e.First.Format(stamp), e.Last.Format(stamp)
	}
	return v
}

// body tells the facts of an event in the form of the resource that Azure shows; no body was kept.
func body(e *audit.Event) string {
	raw, err := json.Marshal(map[string]any{"id": e.Resource, "properties": e.Facts})
	if err != nil { // of strings: there is no such error
		return ""
	}
	return string(raw)
}

// meaning is the phrase of an HTTP status, as far as the doors answer with it.
func meaning(status int) string {
	switch status {
	case 200:
		return "OK"
	case 201:
		return "Created"
	case 202:
		return "Accepted"
	case 204:
		return "No Content"
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 409:
		return "Conflict"
	case 412:
		return "Precondition Failed"
	case 413:
		return "Request Entity Too Large"
	case 429:
		return "Too Many Requests"
	case 500:
		return "Internal Server Error"
	}
	return strconv.Itoa(status)
}

// claims are those of the token that are no secret, by the names that Azure shows.
func claims(e *audit.Event) map[string]string {
	const schema = "http://schemas.microsoft.com/identity/claims/"
	all := map[string]string{}
	for name, value := range map[string]string{"appid": e.Caller.AppID, schema + "objectidentifier": e.Caller.ObjectID, schema + "tenantid": e.Caller.Tenant,
		"uti": e.Caller.TokenID, "name": e.Caller.Name, "ipaddr": e.Request.Source, "auxiliary": e.Caller.Auxiliary} {
		if value != "" {
			all[name] = value
		}
	}
	return all
}

// ticks are hundreds of nanoseconds since the year 1, as .NET counts.
func ticks(t time.Time) int64 { return t.UnixMicro()*10 + 621355968000000000 }
