"""Where code comes from, where releases go: sources that are switched, unreviewed code that runs, publishing."""

SUPPLY = {
    "source": """
poetry source add
poetry config repositories.*|pypi-token.*|http-basic.*
pdm config pypi.url|repository.*
uv pip install --index-url|--extra-index-url|--index
pip,pip3 config set|edit|unset
hatch config set
conda,mamba,micromamba config --add|--set|--prepend|--append|append|prepend|set
conda,mamba,micromamba install|create|update -c|--channel|-c=*|--channel=* !conda-forge !defaults !bioconda !pytorch !nvidia !anaconda
npm,pnpm,yarn,bun config set registry|registry=*|//*|*:registry*|ignore-scripts|proxy|https-proxy|cafile|script-shell|shell|prefix
npm,pnpm set registry*|//*|ignore-scripts*|proxy*|https-proxy*|prefix*|script-shell*|cafile*|strict-ssl*|node-options*|globalconfig*|userconfig*
npm config set @*
npm config edit
yarn config set npmRegistryServer|registry|npmScopes*|yarnPath|unsafeHttpWhitelist|enableStrictSsl|plugins|npmAuthToken
yarn set version http://*|https://*|./*
yarn plugin import
bun --registry
gem sources --add|-a|--remove|-r|-c
gem install -s|--source|--source=*
bundle config mirror.*|set|--global mirror.*
cargo install --git|--registry|--index
cargo add --git|--registry
cargo --config
go env -w
go mod edit -replace*|-replace
composer config repositories*|repo*|secure-http|disable-tls
composer require --repository*
luarocks install|config --server*
cpan,cpanm http://*|https://*|--mirror|--mirror-only
brew tap */*
brew install|reinstall|upgrade --HEAD
brew install|reinstall */*/*
brew extract
add-apt-repository,apt-add-repository,apt-key,software-properties-gtk,dnf-copr !--list !list !fingerprint
dnf,yum,microdnf config-manager|copr
dnf,yum,microdnf install|localinstall http://*|https://*|/tmp/*
zypper addrepo|ar|removerepo|rr
rpm --import|-ivh|-Uvh|-i|-U
rpm -ivh|-Uvh|-i|-U|--install|--nodeps
dpkg -i|--install|--force-all|--force-depends|--unpack|--force-*
apt,apt-get install ./*|/*|*.deb
pacman -U|--upgrade
pacman-key --add|-a|--lsign-key|-r|--init
apk add --allow-untrusted|--repository|-X
snap install --dangerous|--devmode
snap set|alias|connect
flatpak remote-add|install-from
flatpak install http://*|https://*|--from|--bundle
flatpak override --filesystem*|--socket*|--device*|--share*
nix-channel --add
nix-env -f|-if http://*|https://*|-
nix run|shell|develop|build|profile github:*|git+*|http://*|https://*|gitlab:*|sourcehut:*
nix profile install|add github:*|git+*|http://*|https://*
nix-shell,nix-build,nix-env -f|-I http://*|https://*
nix-shell,nix-build,nix-env http://*|https://*
guix pull
opam repo|repository add|set-url
opam pin add|git+*|http://*|https://*
raco pkg install http://*|https://*|git*
helm repo add http://*
helm install|upgrade|template|pull http://*|https://*|--repo
helm plugin install|update
kubectl,oc,k apply|create|replace|delete -f|--filename|-k http://*|https://*
kubectl,oc,k apply|create|replace -f*http*|--filename=http://*|https://*|-k*http*|-khttp*|-fhttp*
terraform,tofu init -from-module*|-plugin-dir*|-from-module
terragrunt --terragrunt-source
ansible-galaxy install|collection git+*|http://*|https://*
ansible-pull !--list-hosts !--list-tags !--list-tasks
docker build|buildx http://*|https://*|git@*|git://*|github.com/*
docker plugin install|enable|set
docker load|import http://*|https://*
code,codium,cursor,windsurf,code-insiders --install-extension|--install-extension=*
idea,pycharm,webstorm,goland installPlugins
jupyter labextension install
gh extension install|upgrade|exec
vim,nvim +PlugInstall|+PackerSync|+PluginInstall
emacs --batch-install
oh-my-zsh,omz,zinit,zplug,antigen,fisher,tpm install|plugin|load|light|bundle
fisher install
asdf plugin add|plugin-add
asdf plugin-add
mise,rtx plugins|plugin install|i|link
rustup toolchain link
deno install|i -A*|--allow-*|http://*|https://*|-g|-f
deno run|serve|test|eval|x|bench http://*|https://*|npm:*|jsr:@*
deno http://*|https://*
bun run|x http://*|https://*|./http
pip,pip3 install -i|--index-url|--extra-index-url
pipx install|run|inject|upgrade --spec|--index-url|--pip-args|git+*|http://*|https://*
pipx install|inject|runpip git+*|http://*|https://*
uvx --from|--with git+*|http://*|https://*|*://*
uvx git+*|http://*|https://*
go install|get|run http://*|https://*
npx,bunx,pnpx http://*|https://*|git+*|github:*|gitlab:*|gist:*
npm,pnpm,yarn,bun install|i|add http://*|https://*|git+*|github:*|gitlab:*|bitbucket:*|gist:*|ssh://*
curl-install
eget,ubi,bin,stew,dra,gah,huber,zap,appimage-cli install|download|*/*
eget,ubi
cargo-binstall,cargo binstall --git|--pkg-url
cargo binstall --git|--pkg-url
pre-commit try-repo
husky add|set
overcommit --install|--sign
direnv allow|permit|grant|edit
mise,rtx trust
vscode-trust
git config --global|--system core.hookspath|core.hooksPath
""",
    "push": """
git subtree|svn|p4 push|dcommit|submit
git svn dcommit
git town ship|sync|propose
git machete push|github|traverse
git-town ship|sync|propose
gh-pages,ghstack,spr,git-spr !--help !--version !-h
gt submit|ss|push
av push|submit|pr
arc diff|land
ghp-import -p|--push
mkdocs gh-deploy
mike deploy|delete|alias|set-default -p|--push
""",
    "hooks": """
pre-commit,husky,lefthook,overcommit,simple-git-hooks,captainhook,grunt-git-hooks uninstall|--uninstall|deactivate
git lfs uninstall
""",
    "history": """
git symbolic-ref HEAD refs/*
git notes remove|prune
git sparse-checkout set|disable
git maintenance run --prune=now
""",
    "release": """
npm,pnpm,yarn,bun publish|unpublish|deprecate|undeprecate|owner|access|dist-tag|token|team|org|adduser|login|logout|hook !ls !list !get !--dry-run !list-packages
npm profile set|enable-2fa|disable-2fa
yarn npm publish|login|tag|logout
lerna publish
changeset publish
nx release|publish
semantic-release,release-it,np,auto,shipit,release-please !--dry-run !-d !--help
turbo publish
jsr,deno publish !--dry-run
twine upload|register
flit,hatch,poetry,pdm,uv,rye,maturin,setuptools publish|upload !--dry-run
maturin publish|upload
python,python3 setup.py upload|register
cargo publish|yank|owner|release !--dry-run !--list
cargo workspaces publish
gem push|yank|owner|signin|signout
rake release
bundle exec rake release
mvn,./mvnw,mvnw deploy|release:perform|release:prepare|site:deploy|nexus-staging:release
gradle,gradlew publish|publishToMavenCentral|uploadArchives|bintrayUpload|publishPlugins|publishAllPublicationsToMavenRepository|closeAndReleaseRepository
sbt publish|publishSigned|sonatypeRelease|release
lein deploy
clojure -T:build deploy
dotnet nuget push|delete|setapikey
nuget push|delete|setapikey
choco push|apikey
pod trunk
pod repo push
carthage-release
dart,flutter,pub pub publish|uploader !--dry-run
dart,flutter pub publish !--dry-run
mix hex.publish|hex.retire|hex.user|hex.owner
rebar3 hex
stack upload
cabal upload
opam publish
luarocks upload
cpan-upload,dzil release|upload
composer-publish
vsce,ovsx publish|unpublish|delete-publisher|login
web-ext,chrome-webstore-upload,chromium-webstore sign|upload|publish
docker,podman,nerdctl,buildah,img,skopeo,crane,ko,jib push|copy|sync|publish|delete
docker buildx build --push
docker build|buildx|compose --push
docker manifest push
skopeo copy|delete|sync
crane push|copy|delete|append
oras push|delete|copy
cosign sign|attest|upload|clean
ko publish|apply|resolve
helm push|cm-push
goreleaser,goreleaser-pro release !--snapshot !--skip=publish !--help
jreleaser full-release|release|deploy
gh release create|edit|upload|delete|delete-asset
glab release create|upload|delete
hub release create|edit|delete
fastlane deliver|pilot|supply|release|beta|deploy|upload_to_*
eas submit|update
xcrun altool|notarytool --upload-app|submit
snapcraft upload|release|push|login|promote
brew bump-formula-pr|bump-cask-pr
charmcraft upload|release
terraform-registry publish
arduino-cli-lib publish
pulumi package publish
conan upload
vcpkg-x-publish
anaconda upload
conda-build --token
sam publish
serverless,sls publish
expo publish
firebase appdistribution:distribute
""",
    "remote-code": """
ansible-pull !--list-hosts !--list-tags !--list-tasks
cloud-init
npm exec|x http://*|https://*
""",
}
