import HTTPCaching
import HTTPFields
import Testing

@Suite("Fields that frameworks trust, and that are no part of the key")
struct UnkeyedFieldTests {
    @Test(
        "keep a request out of the store, in any spelling",
        arguments: [
            "X-Original-Host", "X-Middleware-Subrequest", "x-middleware-rewrite", "RSC", "True-Client-IP",
            "CF-Connecting-IP", "X-SSL-Client-Verify", "X-SSL-Client-S-DN", "Client-Cert", "Next-Router-State-Tree",
            "X_Original_Host", "X_SSL_CLIENT_VERIFY", "true_client-ip", "TRUE-CLIENT-IP", "X_Host", "Proxy",
        ])
    func bypass(name: String) throws {
        let fresh = [("Cache-Control", "max-age=60")]
        let asked = request([(name, "1")])
        #expect(asked.bypass == .unkeyedField)
        #expect(asked.lookup([try stored(fresh)], now: arrival) == .fetch(.bypass(.unkeyedField), superseded: nil))
        #expect(refusal(fresh, to: asked) == .bypass)
        // It goes to the origin as it came.
        #expect(asked.originRequest().removed.isEmpty)
    }

    @Test(
        "Their like do not",
        arguments: [
            "X-Original-Hosts", "X-SSL-Client-", "X-Middleware", "RSCX", "R-SC", "Cf-Connecting", "X-Requested-With",
            "X-Forwarded-For", "X-Real-IP", "Forwarded", "Proxy-Hint", "Accept",
        ])
    func others(name: String) {
        #expect(request([(name, "1")]).bypass == nil)
    }

    @Test("A site says which of them its origin may get all the same")
    func allowed() throws {
        let fields = try ["RSC", "true-client-ip", "x-middleware-*", "next-url"].map { try name($0) }
        let rule = rule { $0.unkeyedFields = UnkeyedFields(allowing: fields) }
        for text in ["RSC", "rsc", "True-Client-IP", "True_Client_IP", "X-Middleware-Prefetch", "Next-URL"] {
            #expect(request([(text, "1")], rule: rule).bypass == nil, "\(text)")
        }
        for text in ["X-Original-Host", "Next-Action", "X-SSL-Client-Cert"] {
            #expect(request([("RSC", "1"), (text, "1")], rule: rule).bypass == .unkeyedField, "\(text)")
        }
        // What the origin varies by is keyed, and then it is no matter.
        let page = try stored([("Cache-Control", "max-age=60"), ("Vary", "RSC")], to: request(rule: rule))
        #expect(request([("RSC", "1")], rule: rule).lookup([page], now: arrival) == .fetch(.varyMiss, superseded: nil))
    }

    /// What a trusted proxy passed on, as forwarding finds it.
    private final class Claims: SelectorSource {
        let fields: FieldSection
        init(fields: FieldSection) { self.fields = fields }
        func forEachSelectorLine(_ name: FieldName, _ body: (UnsafeRawBufferPointer) -> Void) {}
        func forEachDifferingClaim(_ body: (FieldRecord) -> Void) { self.fields.forEach(body) }
    }

    @Test("A proxy's claims that differ from the request keep it out of the store, unless the site allows them")
    func claims() throws {
        let fields = section([("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Prefix", "/x")])
        func asked(_ rule: CacheRule) -> CacheRequest {
            CacheRequest(method: .get, fields: fields, rule: rule, source: Claims(fields: fields))
        }
        #expect(asked(CacheRule()).bypass == .unkeyedField)
        let one = try name("x-forwarded-host")
        #expect(asked(rule { $0.unkeyedFields = UnkeyedFields(allowing: [one]) }).bypass == .unkeyedField)
        let all = try name("x-forwarded-*")
        #expect(asked(rule { $0.unkeyedFields = UnkeyedFields(allowing: [all]) }).bypass == nil)
        let underscored = try name("x_forwarded_ssl")
        #expect(UnkeyedFields.lists(one) && UnkeyedFields.lists(all) && UnkeyedFields.lists(underscored))
        #expect(!UnkeyedFields.lists(try name("x-forwarded")))
    }

    @Test func everyNameOnTheListIsAFieldNameInLowerCase() throws {
        for text in UnkeyedFields.names {
            let field = try name(text)
            #expect(field.text == text && UnkeyedFields.lists(field))
        }
        #expect(!UnkeyedFields.lists(FieldName(.accept)))
    }
}
