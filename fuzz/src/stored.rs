//! Stored bytes: whatever lies in a store is read back or is a miss.

use http::HeaderMap;
use terrace_shared::http::{
    Extent, StoredResponse, Variant, VariantList, answer, decide_unread, response_fields,
};
use terrace_shared::purge::{Ledger, LedgerLimits};
use terrace_shared::stored::Envelope;

use crate::message::{LATER, after, epoch, fixed, get, rules};

/// The head of a stored response.
pub(crate) fn heads(bytes: &[u8]) {
    let Ok(stored) = StoredResponse::decode_head(bytes) else {
        return;
    };
    let again = StoredResponse::decode_head(&stored.encode_head());
    assert_eq!(again.as_ref(), Ok(&stored), "it is not read back");
    if let Extent::Partial { range, complete } = stored.extent() {
        assert!(range.first <= range.last && complete.is_none_or(|complete| range.last < complete));
    }
    let ledger = Ledger::new(epoch(1).incarnation, LedgerLimits::default());
    let _ = ledger.verdict(stored.fence(), stored.scopes());
    for fields in [HeaderMap::new(), fixed(&[("range", "bytes=0-4,-3")])] {
        for seconds in LATER {
            let age = stored.current_age(after(seconds));
            let _ = response_fields(&stored, age, &rules());
            let _ = answer(&get(&fields), &stored, age, Some(9), "b", &rules());
        }
        crate::directives::check_decisions(&stored, &fields);
    }
}

/// What is known of the stored responses of a URI.
pub(crate) fn variant_lists(bytes: &[u8]) {
    let Ok(list) = VariantList::decode(bytes) else {
        return;
    };
    let again = VariantList::decode(&list.encode());
    assert_eq!(again.as_ref(), Ok(&list), "it is not read back");
    assert_eq!(list.merged(&list), list);
    let ledger = Ledger::new(epoch(1).incarnation, LedgerLimits::default());
    for fields in [HeaderMap::new(), fixed(&[("accept-encoding", "br")])] {
        let request = get(&fields);
        assert!(list.matching(&request).count() <= VariantList::MOST);
        for seconds in LATER {
            let verdict = |known: &Variant| ledger.verdict(known.fence(), known.scopes());
            let _ = decide_unread(&request, &list, verdict, after(seconds));
        }
    }
}

/// The envelope of a data entry.
pub(crate) fn envelopes(bytes: &[u8]) {
    let Ok((envelope, payload)) = Envelope::decode(bytes) else {
        return;
    };
    assert!(payload.len() < bytes.len());
    let written = envelope.encode(payload);
    assert_eq!(
        Envelope::decode(&written),
        Ok((envelope, payload)),
        "it is not read back"
    );
    assert_eq!(written, bytes, "it has two forms");
}
