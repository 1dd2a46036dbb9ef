/// Where the files of ACME stand in a key holder's state folder.
public enum StateLayout {
    /// Of one certificate and its key. A site's ECDSA certificate stands in the site's folder, others in folders within.
    ///
    /// - Parameter site: Its first domain. A wildcard's star is no character for paths in shells.
    public static func folder(of site: String, _ key: SiteKeyKind, in state: String) -> String {
        let folder = "\(state)/sites/\(site.replacing("*", with: "_"))"
        return switch key {
        case .ecdsa: folder
        case .rsa: "\(folder)/rsa"
        }
    }

    /// The chain, PEM.
    public static func chain(of site: String, _ key: SiteKeyKind, in state: String) -> String {
        "\(Self.folder(of: site, key, in: state))/chain.pem"
    }

    /// The certificate's private key, PEM.
    public static func key(of site: String, _ key: SiteKeyKind, in state: String) -> String {
        "\(Self.folder(of: site, key, in: state))/site.key"
    }
}
