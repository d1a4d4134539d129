"""Programs that open a way in, send things out, or speak in somebody's name."""

HOSTS = {
    "tunnel": """
ngrok,ngrok-v3 http|tcp|tls|start|tunnel|service
cloudflared tunnel|access !--help !list !info
lt,localtunnel,localtunnel-client --port|-p|-p*
localhost.run,serveo,pagekite,telebit,holesail,tunnelmole,tmole,loophole,jprq,expose,zrok,packetriot,tunnelto,sish,gost,ngrokd
boringproxy,pinggy,beeceptor,hyp,instatunnel
bore local|server
frpc,frps,nps,npc
chisel client|server
inlets,inlets-pro client|http|tcp|server
rathole
wstunnel client|server
stunnel,stunnel4
ligolo*
ligolo-agent,ligolo-proxy,agent.ligolo
iodine,iodined,dnscat,dnscat2,dns2tcpc,ptunnel,hans,icmptunnel
sshuttle
autossh
tailscale up|funnel|serve|set|ssh|file|login
headscale
zerotier-cli join
wg,wg-quick up|set|setconf|addconf
openvpn,openvpn3,openconnect,vpnc,nordvpn,mullvad,expressvpn,warp-cli connect|--config|session-start|-c|--daemon|up
openvpn,openconnect
tor,obfs4proxy,snowflake-client,i2pd !--version
torsocks,torify,proxychains,proxychains4
tmate,upterm,sshx,teleconsole,gotty,ttyd,wetty,shellinaboxd,webtty,cloudshell !--version !-V
gsocket,gs-netcat,gs-sftp,gs-mount,blitz
code tunnel|serve-web
code-server,openvscode-server --bind-addr 0.0.0.0*
devtunnel host|create
devtunnels host
teleport,tsh start|ssh
sshd,dropbear,tinysshd,in.telnetd,telnetd,vsftpd,proftpd,pure-ftpd,smbd,nmbd,tftpd,utftpd,x11vnc,vncserver,x0vncserver,rustdesk,anydesk,teamviewer,xrdp,websockify,novnc !-t !-T !--version !-V
vino-server,krfb,wayvnc
ssh -R|-R*|-D|-D*|-w|-w*|-fNR|-NR|-NTR|-fNTR|-NfR|-TR|-fND|-ND|-L|-L*|-NL|-fNL|-W|-g
ssh,scp,sftp -oRemoteForward*|RemoteForward*|DynamicForward*|Tunnel*|-oDynamicForward*
plink,plink.exe -R|-D|-L
adb connect|tcpip
iscsiadm --login|-l
mount -t nfs|cifs|smbfs|9p|fuse.sshfs
mount.cifs,mount.nfs,sshfs,s3fs,gcsfuse,goofys,rclone-mount,curlftpfs,davfs2
rclone mount|serve|rcd
kubectl,oc,k port-forward --address
kubectl,oc,k proxy --address*|--accept-hosts*|--disable-filter*
kubectl,oc,k expose --type=LoadBalancer|--type=NodePort
socat tcp-listen*|TCP-LISTEN*|tcp4-listen*|TCP4-LISTEN*|udp-listen*|UDP-LISTEN*|openssl-listen*|OPENSSL-LISTEN*
simpleproxy,redir,rinetd,haproxy-wi,3proxy,microsocks,srelay,dante,sockd,tinyproxy,squid,mitmproxy,mitmdump,mitmweb,proxy.py,burpsuite !--version !-v
upnpc -a|-r
natpmpc
nc,ncat,netcat -l|-lk|-lv|-lp|-lvp|-lnvp|-lvnp|-nlvp|-nvlp|-k|--listen|-lu|-klv|-lkv|-lvk
""",
    "shell": """
busybox,toybox telnetd|ftpd|tftpd|inetd|dropbear
msfconsole,msfvenom,msfd,msfrpcd,sliver-client,sliver-server,empire,pwncat-cs,evil-winrm,meterpreter,weevely,crackmapexec,netexec,nxc,covenant,havoc
websocat sh-c:*|exec:*|cmd:*
websocat ws-l:*|wss-l:*
xterm,urxvt,rxvt,aterm -display|--display
Xnest,xnest,Xephyr
inetd,xinetd,tcpserver,tcpsvd,systemd-socket-activate
python,python3 -m pty
pwncat
rlogin,rsh,rexec,remsh
winrs,psexec,psexec.py,wmiexec.py,smbexec.py,dcomexec.py,atexec.py,impacket-psexec,impacket-wmiexec
zmodload zsh/net/tcp|zsh/net/socket
ztcp
""",
    "upload": """
ftp-upload,curlftp,ncftpput,wput,lftp-put,ftpput,uftp,tnftp
ncftpput
wput
sftp,psftp -b
ftp -n|-s*
tftp put|-p|-c
smbclient put|-c|-T
croc,wormhole,magic-wormhole,wormhole-william send
ffsend,transfer,transfersh,transfer.sh,wetransfer,filebin,gofile,pastebin,pastebinit,pastecat,termbin,nopaste,wgetpaste,ix.io,0x0,haste,hastebin,sprunge,ptpb,fpaste,pbcli,dpaste,fb,paste.rs,imgur,imgur-uploader,ghi-gist,gist,jist,ipfs-deploy,onionshare,onionshare-cli,portal,dropbox_uploader,dropbox_uploader.sh,gdrive,drive,megaput,mega-put,megatools,warp-send,qrcp,sendme,toffee,pcp,pixeldrain,anonfile !--version !--help
drive push
ipfs add|pin
gdrive files upload
megatools put
syncthing,resilio,unison,nextcloudcmd,onedrive,insync,maestral,dropbox start|serve|--synchronize|sync
nextcloudcmd
iscp,lpr,lp
lpr
mail,mailx,mutt,neomutt,s-nail,sendemail,ssmtp,msmtp,sendmail,swaks,mailsend,mailsend-go,himalaya,aerc !-bp !-bv !--version
rsh,rcp
az storage blob|file upload|upload-batch|sync
az storage copy
aws s3api put-object|upload-part
aws s3 cp|mv|sync|presign ~/.*
gsutil cp|mv|rsync|-m gs://* !gs://*/
gcloud storage cp|mv|rsync
oci os object put|bulk-upload
s3cmd,s5cmd,s4cmd put|sync|cp
mc cp|mirror|pipe|put
b2 upload-file|upload_file|sync|file
ibmcloud cos object-put|upload
swift upload
aliyun,ossutil,ossutil64,obsutil,coscli,coscmd,qshell,upyun cp|upload|put|sync|fput|rput
azcopy copy|cp|sync
rclone rcat|copyurl
linode-cli obj put
vercel blob put
wrangler r2 object put
huggingface-cli,hf upload|upload-large-folder
modal volume put
kaggle datasets|kernels|models create|version|push
databricks fs|workspace cp|import
dvc push
git-annex copy|move
git annex copy|move
svn commit|import|ci
hg push
bzr push
darcs push|send
fossil push|sync
jj git push
sl push
cvs commit
p4 submit
restic,borg,kopia,duplicity,tarsnap,duplicacy,rdiff-backup,bup backup|create|snapshot|-c|save ~*|/home*|/root*|/etc*
gh gist create|edit
kubectl,oc,k cp ~*|/home/*|/etc/*|/root/*
gh release upload
glab snippet create
glab release upload
buildkite-agent artifact upload
""",
    "message": """
gh pr review --approve|-a
gh pr|issue comment --body-file|-F
gh issue|pr create --body-file|-F ~*|/*|.env*
slack,slackcat,slack-cli,slacktee,slack-notify send|chat|file|post
slackcat,slacktee
telegram-send,telegram-cli
discord-webhook,discord.sh
twurl,t,toot,madonctl,bsky tweet|post|update|/2/tweets
twilio api:core:messages:create|sms
twilio api:core:*
aws sns publish
aws ses|sesv2 send-email|send-raw-email|send-bulk*|send-templated*
aws pinpoint send-messages
wall,write
sendgrid,mailgun,postmark send|messages|email
signal-cli send
matrix-commander -m|--message
notify,apprise,ntfy,pushover publish|send|-b|-t
osascript-mail
""",
}
