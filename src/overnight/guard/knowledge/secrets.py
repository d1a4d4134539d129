"""Programs that print or hand out credentials."""

SECRETS = {
    "secret": """
gh auth token
gh auth status -t|--show-token
gh auth git-credential
gh codespace ssh
glab auth status -t|--show-token
glab config get token
hub api --include
gcloud auth print-access-token|print-identity-token|print-refresh-token
gcloud auth application-default print-access-token
gcloud config config-helper
gcloud iam service-accounts keys create
gcloud secrets versions access
gcloud kms decrypt
gcloud sql generate-login-token
aws configure get aws_secret_access_key|aws_session_token|aws_access_key_id
aws configure export-credentials
aws sts get-session-token|get-federation-token|assume-role*
aws ecr get-login-password|get-login|get-authorization-token
aws ecr-public get-login-password
aws codeartifact get-authorization-token|login
aws eks get-token
aws rds generate-db-auth-token
aws secretsmanager get-secret-value|batch-get-secret-value
aws ssm get-parameter|get-parameters|get-parameters-by-path|get-parameter-history --with-decryption
aws kms decrypt|generate-data-key
aws iam create-access-key|create-login-profile|create-service-specific-credential
aws lightsail download-default-key-pair
aws ec2 create-key-pair
aws sso get-role-credentials
aws redshift get-cluster-credentials
aws cognito-identity get-credentials-for-identity
aws-vault login|add|rotate
saml2aws script|exec
aws-okta exec|env
granted,assume --export|-ex
az ad sp create-for-rbac
az ad sp credential reset
az ad app credential reset
az acr login --expose-token
az keyvault secret download|backup|show
az keyvault key backup|download
az keyvault certificate backup|download
az aks get-credentials --admin
oci iam auth-token create
ibmcloud iam oauth-tokens
ibmcloud iam api-key-create
doctl auth token
doctl kubernetes cluster kubeconfig show
linode-cli profile token-create
heroku auth:token
heroku config:get
heroku config !config:*
heroku pg:credentials:url
fly,flyctl auth token
fly,flyctl tokens create
vercel env pull
netlify env:list|env:get
railway variables
render env
wrangler auth token
firebase login:ci
eas credentials
expo credentials:manager
stripe config --list
kubectl,oc,k get secret|secrets|secret/* -o|-o*|--output*|--template* !name !-oname !--output=name !wide !-owide
kubectl,oc,k create token
kubectl,oc,k config view --raw
kubectl,oc,k view-secret
oc whoami -t|--show-token
oc extract secret|secret/*
oc sa|serviceaccounts get-token|new-token
minikube ssh-key
argocd account generate-token
argocd admin initial-password
rancher kubeconfig
k3s,microk8s config
talosctl kubeconfig
kind get kubeconfig
helm get secrets
kubeseal --recovery-unseal
sops -d|--decrypt|decrypt|exec-env|exec-file
sops edit
age -d|--decrypt
age-keygen -y
rage -d|--decrypt
ansible-vault view|decrypt|edit|rekey
git-crypt unlock|export-key
git-secret reveal|cat
blackbox_cat,blackbox_decrypt_file,blackbox_decrypt_all_files
transcrypt --display
credstash get|getall
chamber read|export|exec
vault kv get
vault read !policy !sys/health !sys/*
vault token create
vault print token
vault operator init|generate-root|unseal
vault login
op read|inject
op item|document get
op signin --raw
bw,rbw get|list|export|unlock
bws secret get|list
lpass show|export
dashlane,dcli password|note|export|p|o
keepassxc-cli show|clip|export|extract
kpcli --command
pass show|-c|cp
pass git
gopass show|cat|export
passage,tomb show|open
doppler secrets get|download|--raw|--json
doppler secrets !set !delete !upload !--only-names
doppler configure get
infisical secrets|export
infisical user get
teller env|show|sh|export
conjur variable get
akeyless get-secret-value
keyring get
secret-tool lookup|search
kwallet-query -r|--read-password
gnome-keyring-daemon --unlock
security find-generic-password|find-internet-password -w|-g|-wa|-ga|-gw|-wg
security find-generic-password|find-internet-password -w*|-g*
security dump-keychain|export|unlock-keychain|set-keychain-settings
cmdkey /list
vaultcmd /listcreds*
dpapi,lazagne,mimikatz,laZagne,pypykatz,chainbreaker
gpg,gpg2 --export-secret-keys|--export-secret-subkeys|--export-secret-key*|--export-secret-s*
gpg,gpg2 -d|--decrypt .env.gpg
gpgsm --export-secret-key*
ssh-add -L
ssh-add -D|-d|-x
ssh-keygen -p
openssl rsa|pkey|ec|dsa|pkcs8 -in !-pubin !-pubout
openssl pkcs12 -nodes|-noenc
keytool -importkeystore
certutil -exportpfx
git credential fill|approve|reject
git credential-store|credential-cache get
git credential-manager get
npm token create
npm config get //*:_authToken
npm get _auth*
pnpm config get _auth*
yarn config get npmAuthToken
docker-credential-* get|list
docker-credential-desktop,docker-credential-osxkeychain,docker-credential-secretservice,docker-credential-pass,docker-credential-ecr-login get|list
git-credential-store,git-credential-osxkeychain,git-credential-libsecret,git-credential-manager,git-credential-manager-core get|fill
docker config inspect
pulumi config --show-secrets
pulumi stack export|output --show-secrets
pulumi stack output --show-secrets
consul acl token read
nomad acl token self
etcdctl get /registry/secrets*
ntlmrelayx.py,responder,secretsdump.py,hashcat,john,hydra,medusa,ncrack,patator
impacket-secretsdump
unshadow
getent shadow|gshadow
tcpdump,tshark,dumpcap,ngrep,ettercap,bettercap,wireshark !-r !--version !-D
gcore
pg_dumpall --globals-only|-g|--roles-only|-r
mysqldump mysql
networkmanager,nmcli device wifi show-password
nmcli --show-secrets|-s connection
wpa_cli get_network
netsh wlan key=clear
screencapture,scrot,gnome-screenshot,grim,maim,spectacle,flameshot,xwd,fbgrab,wf-recorder,slurp,ksnip,shutter
import,magick -window|x:
keyctl print|read|pipe
ykman oath|piv|openpgp
step ca token
step crypto decrypt|jwe
systemd-creds decrypt|cat
oathtool,tpm2_unseal,clevis !--help !--version
git config *extraheader|credential.*|*.token|*.password !--unset !--unset-all
ffmpeg x11grab|avfoundation
arecord,parecord,rec
xinput test
xev
showkey
logkeys --start
""",
}
