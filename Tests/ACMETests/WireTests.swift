import Crypto
import Foundation
import Testing

@testable import ACME

/// Encodings, dates, bounds.
@Suite struct WireTests {
    /// The example of RFC 7638 section 3.1 hashes an RSA key; this one is made with another tool from a key of RFC 7515 A.3.
    @Test func theThumbprintHashesTheMembersInOrder() throws {
        let key = AccountKey()
        let jwk = key.jwk
        let text = #"{"crv":"P-256","kty":"EC","x":"\#(jwk.x)","y":"\#(jwk.y)"}"#
        #expect(try key.thumbprint == TestText.base64URL(SHA256.hash(data: Data(text.utf8))))
        #expect(try AccountKey(pem: key.pem).thumbprint == key.thumbprint)
    }

    @Test func base64URL() {
        #expect(Base64URL.encode([UInt8]([0xFB, 0xEF, 0xFF])) == "--__")
        #expect(Base64URL.decode("--__") == [0xFB, 0xEF, 0xFF])
        #expect(Base64URL.decode("AQ") == [1])
        #expect(Base64URL.decode("") == [])
        for bad in ["AQ==", "A+", "A/", "A B"] { #expect(Base64URL.decode(bad) == nil) }
    }

    /// The example of RFC 9773 section 4.1.
    @Test func theNameOfACertificateForRenewalInformation() {
        let keyIdentifier: [UInt8] = [
            0x69, 0x88, 0x5B, 0x6B, 0x87, 0x46, 0x40, 0x41, 0xE1, 0xB3, 0x7B, 0x84, 0x7B, 0xA0, 0xAE, 0x2C, 0xDE, 0x01,
            0xC8,
            0xD4,
        ]
        #expect(
            IssuedChain.ariID(keyIdentifier: keyIdentifier, serial: [0x87, 0x65, 0x43, 0x21])
                == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
        #expect(
            IssuedChain.ariID(keyIdentifier: keyIdentifier, serial: [0x07, 0x65]) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.B2U")
    }

    @Test func dates() {
        #expect(DateText.rfc3339("2021-01-03T00:00:00Z") == 1_609_632_000_000)
        #expect(DateText.rfc3339("2021-01-03T01:00:00.5+01:00") == 1_609_632_000_500)
        #expect(DateText.rfc3339("yesterday") == nil)
        #expect(DateText.http("Sun, 06 Nov 1994 08:49:37 GMT", now: 0) == 784_111_777_000)
        for bad in ["Sun, 06 Nov 1994 08:49:37", "Sun, 41 Nov 1994 08:49:37 GMT", ""] {
            #expect(DateText.http(bad, now: 0) == nil)
        }
    }

    @Test func retryAfter() {
        func at(_ text: String) -> Int64? {
            ACMEResponse(status: 429, fields: ["retry-after": text]).retryAfter(now: 784_111_777_000)
        }
        #expect(at("120") == 784_111_897_000)
        #expect(at("Sun, 06 Nov 1994 08:50:37 GMT") == 784_111_837_000)
        #expect(at("Sun, 06 Nov 1994 07:50:37 GMT") == 784_111_777_000)
        // A week at the most.
        #expect(at("99999999999") == 784_716_577_000)
        #expect(at("-5") == nil)
        #expect(at("soon") == nil)
        #expect(ACMEResponse(status: 429).retryAfter(now: 0) == nil)
    }

    @Test func nestingAndLengthAreBounded() {
        #expect(JSONText.depth(Array(#"{"a":[{"b":"]]]{{{\"[["}]}"#.utf8)) == 3)
        let deep = Array((String(repeating: "[", count: 17) + String(repeating: "]", count: 17)).utf8)
        #expect(throws: ACMEFailure(.badAnswer("the order is nested too deep"))) {
            try JSONText.decode(ACMEProblem.self, from: deep, "the order")
        }
        let long = [UInt8](repeating: UInt8(ascii: " "), count: JSONText.maximumBytes + 1)
        #expect(throws: ACMEFailure(.badAnswer("the order takes 262145 bytes"))) {
            try JSONText.decode(ACMEProblem.self, from: long, "the order")
        }
    }

    @Test func urlsAreHTTPSAndShort() {
        #expect(throws: Never.self) { try ACMEURL.check("https://directory.test/x") }
        for bad in [
            "http://directory.test/", "file:///etc/passwd", "https://a b",
            "https://" + String(repeating: "a", count: 2048),
        ] {
            #expect(throws: ACMEFailure.self) { try ACMEURL.check(bad) }
        }
    }

    @Test func problemsAreReadWhateverTheyHold() {
        func problem(_ text: String) -> String { "\(ACMEProblem(ACMEResponse(status: 400, body: Array(text.utf8))))" }
        #expect(problem(#"{"type":"urn:ietf:params:acme:error:caa","detail":"no"}"#) == "caa: no")
        #expect(problem(#"{"type":"about:blank"}"#) == "about:blank")
        #expect(problem("<html>") == "unknown: status 400")
        #expect(problem(#"{"type":"x","detail":"a\u001b[2Jb\nc"}"#) == "x: a?[2Jb?c")
        let several =
            #"{"type":"x","subproblems":[{"type":"y","identifier":{"type":"dns","value":"a.test"},"detail":"gone"}]}"#
        #expect(problem(several) == "x; a.test: gone")
    }
}
