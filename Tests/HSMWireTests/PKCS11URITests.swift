import HSMWire
import Testing

@Suite("Names of keys on tokens (RFC 7512)")
struct PKCS11URITests {
    @Test("Attributes are decoded, and say which token and which key")
    func attributes() throws {
        let uri = try PKCS11URI(
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;serial=;"
                .replacing(
                    "serial=;", with: "serial=a1-b2;slot-id=327;object=my-certificate;type=private;id=%69%95%3E%00")
                + "?pin-source=file:/etc/token")
        #expect(uri.token.label == "The Software PKCS#11 Softtoken")
        #expect(uri.token.manufacturer == "Snake Oil, Inc.")
        #expect(uri.token.model == "1.0")
        #expect(uri.token.serial == "a1-b2")
        #expect(uri.token.slot == 327)
        #expect(uri.key.label == "my-certificate")
        #expect(uri.key.id == [0x69, 0x95, 0x3E, 0x00])
        #expect(uri.pinFile == "/etc/token")
        #expect(!uri.name.contains("pin-source"))
    }

    @Test("Characters that the RFC lets stand, stand", arguments: ["a&b", "a=b", "[a]:@!$'()*+,", "-._~"])
    func plain(_ text: String) throws {
        #expect(try PKCS11URI("pkcs11:object=\(text)").key.label == text)
    }

    @Test("Letters outside of ASCII are percent-encoded UTF-8")
    func letters() throws {
        #expect(try PKCS11URI("pkcs11:object=%c3%A9").key.label == "é")
    }

    @Test(
        "Where the PIN is",
        arguments: [
            ("/run/pin", "/run/pin"), ("file:/run/pin", "/run/pin"), ("file:///run/pin", "/run/pin"),
            ("hsm.pin", "hsm.pin"), ("file:%2Frun%2Fpin%20code", "/run/pin code"),
        ])
    func pinSource(_ text: String, _ path: String) throws {
        #expect(try PKCS11URI("pkcs11:object=a?pin-source=\(text)").pinFile == path)
    }

    @Test(
        "What is wrong is said",
        arguments: [
            ("pkcs12:object=a", PKCS11URIError.scheme),
            ("pkcs11:", .form("")),
            ("pkcs11:token=a", .noKey),
            ("pkcs11:object=a;", .form("")),
            ("pkcs11:object", .form("object")),
            ("pkcs11:=a", .form("=a")),
            ("pkcs11:ob%20ject=a", .form("ob%20ject=a")),
            ("pkcs11:object=a;object=a", .twice("object")),
            ("pkcs11:object=", .value("object")),
            ("pkcs11:object=%", .value("object")),
            ("pkcs11:object=%4", .value("object")),
            ("pkcs11:object=%4g", .value("object")),
            ("pkcs11:object=%ff", .value("object")),
            ("pkcs11:object=a%00b", .value("object")),
            ("pkcs11:object=a b", .value("object")),
            ("pkcs11:object=a/b", .value("object")),
            ("pkcs11:object=é", .value("object")),
            ("pkcs11:object=a;slot-id=-1", .value("slot-id")),
            ("pkcs11:object=a;slot-id=99999999999999999999", .value("slot-id")),
            ("pkcs11:object=a;token=123456789012345678901234567890123", .value("token")),
            ("pkcs11:object=a;type=cert", .type),
            ("pkcs11:object=a;x-vendor=1", .unknown("x-vendor")),
            ("pkcs11:object=a;library-version=3", .module("library-version")),
            ("pkcs11:object=a?module-path=/tmp/evil.so", .module("module-path")),
            ("pkcs11:object=a?module-name=evil", .module("module-name")),
            ("pkcs11:object=a?pin-value=1234", .pinValue),
            ("pkcs11:object=a?pin-source=|/bin/sh", .value("pin-source")),
            ("pkcs11:object=a?pin-source=file:relative", .value("pin-source")),
            ("pkcs11:object=a?pin-source=file://host/pin", .value("pin-source")),
            ("pkcs11:object=a?pin-source=a&pin-source=b", .twice("pin-source")),
            ("pkcs11:object=a?", .form("")),
        ])
    func wrong(_ text: String, _ error: PKCS11URIError) {
        #expect(throws: error) { try PKCS11URI(text) }
    }

    @Test("A name longer than 1024 bytes is refused unread")
    func long() {
        #expect(throws: PKCS11URIError.tooLong) {
            try PKCS11URI("pkcs11:object=" + String(repeating: "a", count: 1011))
        }
        #expect(throws: PKCS11URIError.value("object")) {
            try PKCS11URI("pkcs11:object=" + String(repeating: "a", count: 256))
        }
    }
}
