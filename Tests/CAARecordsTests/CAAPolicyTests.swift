import Testing

@testable import CAARecords

@Suite("What CAA records mean")
struct CAAPolicyTests {
    private static func policy(_ records: (String, String)...) -> CAAPolicy {
        CAAPolicy(records.map { CAARecord(tag: $0.0, value: Array($0.1.utf8)) }, at: "a.test")
    }

    @Test(
        "Bound to an account, or to checks by DNS",
        arguments: [
            "ca.test; accounturi=https://ca.test/acct/1", "ca.test;accounturi=x",
            " ca.test ; validationmethods=dns-01 ",
            "ca.test; validationmethods=dns-01,dns-account-01", "CA.test; ValidationMethods=dns-01",
            "ca.test; validationmethods=http-01; accounturi=x",
            "ca.test; accounturi = https://ca.test/acct/1 ;",
        ])
    func bound(value: String) {
        #expect(Self.policy(("issue", value)) == .bound(at: "a.test", issuers: ["ca.test"]))
    }

    @Test(
        "Not bound",
        arguments: [
            "ca.test", "ca.test;", "ca.test; validationmethods=http-01", "ca.test; validationmethods=dns-01,http-01",
            "ca.test; validationmethods=tls-alpn-01", "ca.test; validationmethods=ca-own-check",
            "ca.test; validationmethods=", "ca.test; accounturi=", "ca.test; account=1; other=2",
            "ca.test; validationmethods=dns-01; validationmethods=http-01", "ca.test; validationmethods=DNS-01,",
        ])
    func unbound(value: String) {
        #expect(Self.policy(("issue", value)) == .unbound(at: "a.test", issuers: ["ca.test"]))
    }

    @Test(
        "No authority may issue: an empty name, or a value that authorities must read as one (RFC 8659 §4.2)",
        arguments: [
            "", ";", " ; ", "%%%", "ca.test; account", "ca test", "ca.test; a=b c", "ca.test;; a=b", "ca.test; =b",
        ])
    func forbidden(value: String) {
        #expect(Self.policy(("issue", value)) == .bound(at: "a.test", issuers: []))
    }

    @Test("One authority that is not bound is enough, and the unbound ones are named")
    func several() {
        #expect(
            Self.policy(("issue", "a.ca; accounturi=x"), ("issue", "b.ca"), ("issue", ";"))
                == .unbound(at: "a.test", issuers: ["b.ca"]))
        #expect(
            Self.policy(("issue", "a.ca; accounturi=x"), ("issue", "b.ca; validationmethods=dns-01"))
                == .bound(at: "a.test", issuers: ["a.ca", "b.ca"]))
    }

    @Test("Without issue, other properties restrict nothing")
    func others() {
        #expect(
            Self.policy(("iodef", "mailto:a@a.test"), ("issuewild", "ca.test; accounturi=x"))
                == .unrestricted(at: "a.test"))
    }

    @Test("A critical property of an unknown kind stops every authority; a known or uncritical one does not")
    func critical() {
        func policy(_ tag: String, _ isCritical: Bool) -> CAAPolicy {
            CAAPolicy(
                [
                    CAARecord(isCritical: isCritical, tag: tag, value: Array("x".utf8)),
                    CAARecord(tag: "issue", value: Array("ca.test".utf8)),
                ], at: "a.test")
        }
        #expect(policy("future", true) == .unknownCritical(at: "a.test", tag: "future"))
        #expect(policy("future", false) == .unbound(at: "a.test", issuers: ["ca.test"]))
        #expect(policy("iodef", true) == .unbound(at: "a.test", issuers: ["ca.test"]))
    }
}
