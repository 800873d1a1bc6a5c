package audit

import (
	"context"
	"strings"
	"time"

	"vitrine/internal/store"
)

// Repeats are counted in memory, so that whoever hammers at a closed door costs no write each time. A caller who varies
// what it asks for has maxPerCaller events in a window, and one more that stands for all the rest.
const (
	maxPerCaller = 100
	maxTallies   = 10000
	maxFlush     = 256 // events in one transaction
)

// tally counts the repeats of an event that is kept already.
type tally struct {
	event  Event
	caller string
	until  time.Time
	count  int
	first  time.Time
	last   time.Time
}

// Note keeps an event in a transaction of its own. What is the same but for its time within a minute is counted instead, and
// told by one event at the minute's end: only a crash in between loses that number, never the first of them.
func (l *Log) Note(ctx context.Context, e Event) error {
	e = e.normal(l.Now())
	key, fresh := l.count(&e)
	if !fresh {
		return nil
	}
	err := l.Store.Update(ctx, func(tx store.Tx) error { return l.Record(tx, e) })
	if err != nil {
		l.mu.Lock()
		l.drop(key)
		l.mu.Unlock()
	}
	return err
}

// count looks for the tally of an event, or begins one. The event is changed to one that stands for many when its caller
// has too many.
func (l *Log) count(e *Event) (key string, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	caller := strings.Join([]string{e.Tenant, e.Caller.ObjectID, e.Caller.AppID, e.Request.Source, string(e.Category)}, "\x00")
	key = strings.Join([]string{caller, e.Action, strings.ToLower(e.Resource), string(e.Status), e.Code}, "\x00")
	if l.counted(key, e.Time) {
		return key, false
	}
	if l.callers[caller] >= maxPerCaller || len(l.tallies) >= maxTallies {
		if e.Action, e.Resource, e.Group, e.Type = "*", "", "", ""; len(l.tallies) >= maxTallies {
			e.Caller, e.Request, caller = Caller{}, Request{}, e.Tenant
		}
		e.Message = "Further events of this caller within the minute."
		if key = caller + "\x00*\x00" + string(e.Status) + e.Code; l.counted(key, e.Time) {
			return key, false
		}
	}
	l.tallies[key] = &tally{event: *e, caller: caller, until: e.Time.Add(l.time.window)}
	l.callers[caller]++
	return key, true
}

func (l *Log) counted(key string, now time.Time) bool {
	t := l.tallies[key]
	if t == nil || !now.Before(t.until) && t.count == 0 {
		if t != nil {
			l.drop(key)
		}
		return false
	}
	if t.count++; t.count == 1 {
		t.first = now
	}
	t.last = now
	return true
}

func (l *Log) drop(key string) {
	if t := l.tallies[key]; t != nil {
		delete(l.tallies, key)
		if l.callers[t.caller]--; l.callers[t.caller] <= 0 {
			delete(l.callers, t.caller)
		}
	}
}

// flush writes the counts of the windows that are over, or of all. What cannot be written is counted on.
func (l *Log) flush(ctx context.Context, all bool) error {
	for {
		some := l.over(all)
		if len(some) == 0 {
			return nil
		}
		err := l.Store.Update(ctx, func(tx store.Tx) error {
			for _, t := range some {
				e := t.event
				e.Time, e.Count, e.First, e.Last = l.Now(), t.count, t.first, t.last
				e.Request.ID, e.Request.ClientID, e.Request.CorrelationID, e.Caller.TokenID = "", "", "", ""
				if err := l.Record(tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			l.restore(some)
			return err
		}
	}
}

// over takes out what is to be told.
func (l *Log) over(all bool) map[string]*tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, some := l.Now(), map[string]*tally{}
	for key, t := range l.tallies {
		if !all && now.Before(t.until) {
			continue
		}
		if l.drop(key); t.count > 0 {
			some[key] = t
		}
		if len(some) == maxFlush {
			break
		}
	}
	return some
}

func (l *Log) restore(some map[string]*tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, t := range some {
		if now := l.tallies[key]; now != nil {
			now.count, now.first = now.count+t.count, t.first
			if now.last.IsZero() {
				now.last = t.last
			}
			continue
		}
		l.tallies[key] = t
		l.callers[t.caller]++
	}
}
