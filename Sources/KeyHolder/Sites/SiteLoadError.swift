public import SecretFiles

/// Why a site, or the grants that name sites, cannot be used. The text says which file and what to do.
public enum SiteLoadError: Error, Equatable, Sendable, CustomStringConvertible {
    case unreadable(String, String)
    /// The file with the private key cannot be read, or other users have access to it.
    case secretFile(SecretFileError)
    case notPEM(String, String)
    case noKey(String)
    case severalKeys(String)
    case encryptedKey(String)
    /// The passphrase is not the key's.
    case wrongPassphrase(String, passphraseFile: String)
    case notEncrypted(String, passphraseFile: String)
    /// It is encrypted in another form than PKCS #8.
    case oldEncryption(String)
    /// A key on a token: its name, and what is wrong and to be done.
    case token(String, reason: String)
    case unsupportedKey(String)
    case rsaKeySize(String, bits: Int)
    case rsaKeyExchangeNeedsRSA(String)
    /// A file's path, and what is wrong with it.
    case ticketKeys(String, String)
    /// The chain's file, and why nothing can be agreed on.
    case handshakes(String, String)
    case rsaKeyExchangeNeedsKeyHere(String)
    case keyMismatch(certificate: String, key: String)
    /// The files of two chains of one site.
    case sameKey(String, String)
    /// A site without any.
    case noCertificate
    case unreadableCertificate(String, position: Int)
    case brokenChain(String, position: Int)
    /// The leaf stands there, behind an authority's certificate.
    case leafNotFirst(String, position: Int)
    case chainTooLong(String)
    case noNames(String)
    case nameNotCovered(String, name: String)
    case badName(String, name: String, reason: String)
    case duplicateName(String, first: String, second: String)
    case grantForUnknownSite(edge: String, name: String)
    case duplicateGrant(edge: String, name: String)
    case badGrant(edge: String, reason: String)
    /// The site has an application for native clients, and a certificate that cannot serve them.
    case nativeKey(String, reason: String)

    public var description: String {
        switch self {
        case .unreadable(let file, let reason):
            "cannot read \(file): \(reason); check the path and that this user may read it"
        case .secretFile(let error): error.description
        case .notPEM(let file, let what):
            "\(file) holds no PEM text; a \(what) file begins with a -----BEGIN line"
        case .noKey(let file):
            "\(file) holds no private key; expected a block named PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY"
        case .severalKeys(let file):
            "\(file) holds more than one private key; keep the one that belongs to the site's certificate"
        case .encryptedKey(let file):
            "the private key in \(file) is encrypted with a passphrase; name a file with the passphrase in passphrase-file, or store the key decrypted (openssl pkey -in \(file) -out plain.key), readable by the key holder's user only"
        case .wrongPassphrase(let file, let passphraseFile):
            "the passphrase in \(passphraseFile) does not open the private key in \(file); name the file with the right one"
        case .notEncrypted(let file, let passphraseFile):
            "the private key in \(file) is not encrypted, and \(passphraseFile) is named as the file with its passphrase; remove passphrase-file"
        case .oldEncryption(let file):
            "the private key in \(file) is encrypted in an old form; convert it: openssl pkcs8 -topk8 -in \(file) -out new.key"
        case .token(let name, let reason):
            "the key \(name) cannot be used: \(reason)"
        case .unsupportedKey(let file):
            "the private key in \(file) cannot be used; supported are P-256, P-384, P-521, Ed25519 and RSA, in PKCS #8, SEC 1 or PKCS #1"
        case .rsaKeySize(let file, let bits):
            "the RSA key in \(file) has \(bits) bits; use a key of 2048 to 4096 bits"
        case .rsaKeyExchangeNeedsRSA(let file):
            "the certificate in \(file) has no RSA key, so clients cannot use it for RSA key exchange; remove rsa-key-exchange from its site"
        case .ticketKeys(let file, let reason):
            "the ticket keys in \(file) cannot be used: \(reason); make such a file with `latchstring ticket-keys make`, or copy it again from the site's other key holder"
        case .handshakes(let file, let reason):
            "no client could be served with the certificate in \(file): \(reason); change tls of its site"
        case .rsaKeyExchangeNeedsKeyHere(let file):
            "the private key in \(file) does not leave its store, and RSA key exchange is done by the TLS library, which needs it; remove rsa-key-exchange from its site"
        case .keyMismatch(let certificate, let key):
            "the private key in \(key) does not belong to the certificate in \(certificate); name the key that the certificate was issued for, or have a certificate issued for this key"
        case .sameKey(let first, let second):
            "the certificates in \(first) and \(second) have one key, so a client gets no other by the second; keep the newer of them"
        case .noCertificate: "a site has no certificate; name its chain and key"
        case .unreadableCertificate(let file, let position):
            "certificate \(position) in \(file) cannot be read; export the chain again as PEM, leaf first"
        case .brokenChain(let file, let position):
            "certificate \(position) in \(file) did not issue the one before it; order the chain leaf first, each certificate followed by its issuer"
        case .leafNotFirst(let file, let position):
            "the site's own certificate stands at place \(position) in \(file), behind an authority's; put it first, each certificate followed by its issuer"
        case .chainTooLong(let file):
            "the chain in \(file) has more than 10 certificates or does not fit in a packet of the key protocol, with those of the site's other certificates; leave out the root and unrelated certificates"
        case .noNames(let file):
            "the certificate in \(file) has no DNS name, and no domains are configured for it; name them"
        case .nameNotCovered(let file, let name):
            "the certificate in \(file) does not cover \(name); remove the domain or use a certificate that has it"
        case .badName(let file, let name, let reason):
            "\(name) in \(file) is no domain that can be served: \(reason)"
        case .duplicateName(let name, let first, let second):
            "\(name) is served by both \(first) and \(second); keep it at one of them"
        case .grantForUnknownSite(let edge, let name):
            "the grant for edge \(edge) names \(name), which no site here serves; correct the name or add the site"
        case .duplicateGrant(let edge, let name):
            "edge \(edge) has two grants for the site of \(name); merge them"
        case .badGrant(let edge, let reason):
            "the grant for edge \(edge) cannot be used: \(reason)"
        case .nativeKey(let file, let reason):
            "the certificate in \(file) cannot serve the application for native clients: \(reason)"
        }
    }
}
