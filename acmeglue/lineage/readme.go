package lineage

import "strings"

// readmeName is a file that tells people about the folder.
const readmeName = "README"

// liveReadme is certbot's text for the live folder of a lineage, baseReadme that for
// the folder above.
func liveReadme() []byte { return []byte(strings.ReplaceAll(readmeText, "{}", "")) }
func baseReadme() []byte { return []byte(strings.ReplaceAll(readmeText, "{}", "[cert name]/")) }

const readmeText = "This directory contains your keys and certificates.\n\n" +
	"`{}privkey.pem`  : the private key for your certificate.\n" +
	"`{}fullchain.pem`: the certificate file used in most server software.\n" +
	"`{}chain.pem`    : used for OCSP stapling in Nginx >=1.3.7.\n" +
	"`{}cert.pem`     : will break many server configurations, and should not be used\n" +
	"                 without reading further documentation (see link below).\n\n" +
	`WARNING: DO NOT MOVE OR RENAME THESE FILES!
         Certbot expects these files to remain in this location in order
         to function properly!

We recommend not moving these files. For more information, see the Certbot
User Guide at https://certbot.eff.org/docs/using.html#where-are-my-certificates.
`
