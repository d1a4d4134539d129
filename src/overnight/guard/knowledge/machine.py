"""Programs that bend the machine, its accounts, its processes, or the traces that they leave."""

MACHINE = {
    "power": """
loginctl poweroff|reboot|halt|suspend|hibernate|terminate-user|kill-user|terminate-session|kill-session
systemctl soft-reboot|switch-root|exit
rtcwake,pm-hibernate,pm-suspend,zzz,acpi_call
""",
    "service": """
loginctl enable-linger
systemd-run --on-*|--timer-property*|--path-property*|--socket-property*
systemctl enable|reenable|link|preset|preset-all|add-wants|add-requires|edit|set-default|import-environment|set-environment
systemd-sysusers,systemd-tmpfiles --create|--remove
busctl call org.freedesktop.systemd1
dbus-send --dest=org.freedesktop.systemd1
crontab -e
launchctl load|bootstrap|submit|enable|setenv|config|kickstart
pm2 startup|save
brew services start|run
sc,sc.exe create|config
nssm install
New-Service,new-service,Register-ScheduledTask,register-scheduledtask
schtasks /create|/change
kwriteconfig5,kwriteconfig6 --file
dconf,gsettings load
xdg-mime default
xdg-settings set
update-rc.d,chkconfig,insserv,rc-update defaults|enable|on|add
supervisorctl add|update
monit,runit,s6-svc,runsv,svscan
incrontab,fcrontab,anacron -e|-r|-f
mkinitcpio,dracut
""",
    "loader": """
enable -f
ldconfig -C|-f|-r
patchelf --add-needed|--set-interpreter|--replace-needed|--add-rpath|--set-rpath
dpkg-divert --add|--remove|--rename
dpkg-statoverride --add
update-alternatives,alternatives --install|--set|--config|--remove
chsh
""",
    "kernel": """
timedatectl set-time|set-timezone|set-ntp|set-local-rtc
hostnamectl set-hostname|hostname|set-*
localectl set-*
nmcli networking|radio off
nmcli connection|con|c|device|dev|d|dev delete|down|modify|add|edit|disconnect|import
nmcli device|dev|d|con|connection|c up|connect
resolvectl dns|domain|default-route|dnssec|revert
networkctl down|up|delete|reconfigure
ip link|addr|address|route|rule|neigh|netns|tunnel|tuntap|xfrm add|del|delete|set|flush|replace|change|append
ip -batch|-b
ip netns exec
ifdown,ifup,ifenslave,brctl,vconfig,tunctl,ovs-vsctl,ovs-ofctl
brctl addbr|delbr|addif|delif
arpspoof,ettercap,bettercap,dsniff,responder,macchanger,mitm6
airmon-ng,aireplay-ng,aircrack-ng,wifite,reaver
chattr -R|+i|-i|+a|-a|=|+*|-i*
setfattr,attr-set -n
setfacl -b|-x|-k|-R|-Rb|-M|--set*|--restore*
mount -o|--bind|--rbind|--move|-t|--make-*|-a
umount,fusermount,fusermount3
mknod b|c|u
debugfs -w
tune2fs,resize2fs,xfs_repair,fsck,e2fsck,btrfstune,xfs_growfs
fsfreeze,fstrim
losetup -d|-D|-f|--detach*
swapoff
dmsetup remove|remove_all|wipe_table|create|reload|suspend|clear
nbd-client
qemu-nbd
cryptsetup close|luksSuspend|luksAddKey|luksChangeKey|luksHeaderRestore|reencrypt|open|luksOpen
lvreduce,lvresize,vgreduce,pvmove,lvconvert,vgexport,vgcfgrestore,lvrename
perf trace|record -p|--pid|-a
perf probe
bpftool prog|map|cgroup|net|btf load|attach|update|delete|pin|detach
bpftrace,bcc,stap,systemtap,opensnoop,execsnoop,trace-cmd,sysdig
strace,ltrace,truss,dtruss,ktrace,uftrace -p|--attach|-p*|--attach=*
gdb,lldb,gdbserver,rr,reptyr,retty,injcode,ptrace_attach,dlinject,linux-inject,frida,frida-trace,radare2 --pid|-p|attach|--attach|-n|-d
gdbserver,injcode,linux-inject,dlinject
reptyr
criu dump|restore
process_vm_writev
prlimit --pid*|-p|-p*
renice,chrt,ionice,taskset -p|--pid*|-1
renice
cgset,cgdelete,cgclassify,cgcreate
fuser -k|--kill|-ki|-km|-KILL
sysctl -w|--write|--system|--load*|-p|*=*
sysctl *.*=*
auditctl -D|-e|-d|-W|-f|-b
augenrules
setenforce
aa-teardown,aa-disable,aa-complain,aa-remove-unknown,aa-unconfined
apparmor_parser -R|--remove|-r
semodule,semanage,setsebool,restorecon,chcon,fixfiles -R
semodule,semanage,setsebool
kexec
dkms install|remove|add|build
mokutil --import|--disable-validation
grubby,grub2-mkconfig,grub-set-default,grub-reboot,bootctl,efibootmgr,update-initramfs,kernelstub,plymouth !list !status
fwupdmgr install|update|downgrade|modify-config
flashrom,nvramtool,ipmitool,racadm,mstflint,nvflash
stress,stress-ng,fork-bomb,memtester
fallocate -l *T|*P|*E|*TB|*TiB|[0-9][0-9][0-9]G|[0-9][0-9][0-9][0-9]*G
truncate -s|--size* *T|*P|*E
scutil --set|--remove
networksetup -set*|-add*|-remove*|-create*|-delete*|-switch*
pmset -a|-b|-c|-u|sleepnow|schedule|repeat|displaysleepnow|relative|touch|restoredefaults
spctl --master-disable|--global-disable|--add|--disable|--remove
csrutil disable|clear|authenticated-root
nvram -c|-d|*=*
tmutil disable|delete|deletelocalsnapshots|thinlocalsnapshots|removedestination|restore|stopbackup|addexclusion
diskutil eraseDisk|eraseVolume|eraseCD|zeroDisk|randomDisk|secureErase|partitionDisk|reformat|unmount|unmountDisk|eject|mergePartitions|splitPartition
diskutil apfs|ap|coreStorage|cs|appleRAID deleteContainer|deleteVolume|deleteVolumeGroup|eraseVolume|delete|deleteLVG
diskutil resizeVolume|repairDisk|enableOwnership|rename
hdiutil erasekeys|burn|detach|eject|resize|compact
asr restore|--erase
bless --setBoot|--folder
launchctl unload|bootout|remove|disable|kill|reboot|stop|unsetenv
tccutil reset|insert
systemsetup -set*
dscl,dscacheutil,odutil,dseditgroup -delete|-create|-append|-change|-passwd|-merge|-o
kextload,kextunload,kmutil load|unload|install
kextload,kextunload
softwareupdate -i|-ia|--install|--schedule|--ignore|--reset-ignored
profiles remove|install|-R|-I
security delete-keychain|delete-generic-password|delete-internet-password|delete-certificate|delete-identity|add-trusted-cert|remove-trusted-cert|authorizationdb|create-keychain|set-key-partition-list|add-generic-password|import|lock-keychain|authorize
xattr -d|-c|-rd|-cr|-dr com.apple.quarantine
xattr -c|-cr|-rc
defaults write|delete|import|rename
reg add|delete|import|restore|load|unload
bcdedit /set|/delete*|/deletevalue|/import
vssadmin delete|resize
wbadmin delete|disable
wevtutil cl|clear-log|sl
fsutil file|usn|reparsepoint delete|deletejournal|setzerodata
netsh advfirewall|firewall|interface|winsock|wlan set|add|delete|reset
Set-MpPreference,set-mppreference,Add-MpPreference,add-mppreference,Set-ExecutionPolicy,set-executionpolicy,Disable-WindowsDefender,Stop-Service,stop-service,Disable-NetAdapter,Clear-EventLog,clear-eventlog,Set-NetFirewallProfile,set-netfirewallprofile
takeown,icacls,cacls /f|/grant|/reset|/deny|/remove
wmic process|shadowcopy|useraccount call|delete|set
sc,sc.exe,net,net.exe stop|delete|user|localgroup|share
cipher /w*
format,format.com c:|C:|d:|D:|/q|/y|/fs*
diskpart
del,erase,rd,rmdir /s|/S|/q|/Q
shutdown /s|/r|/h|/p|/l
""",
    "users": """
chage,chfn,newusers,pwconv,pwunconv,grpck,pwck,faillock,pam_tally2,pam-auth-update,authconfig,authselect,realm,homectl,userdbctl,subuid !-l !--list !status
useradd,adduser,userdel,deluser,usermod,groupadd,addgroup,delgroup,groupdel,groupmod,gpasswd,passwd,chpasswd,vipw,vigr,visudo,newgidmap
passwd,gpasswd !-S !--status
smbpasswd,ldapadd,ldapmodify,ldapdelete,ldappasswd
kadmin,kadmin.local -q
ipa user-del|group-del|user-mod|passwd
samba-tool user|domain|group delete|add|setpassword|create
net user|localgroup
dseditgroup -o
sysadminctl -addUser|-deleteUser|-resetPasswordFor
createhomedir
""",
    "root": """
xhost +|+*|-
machinectl shell|login
systemd-run --uid=0|--uid=root|--uid|-M|--machine*|-S|--shell
newgrp docker|root|sudo|wheel|adm|disk|lxd
sg docker|root|sudo|wheel|lxd|disk
chroot
nsenter -a|--all|-t|--target|-t*|--target=*
nsenter -m|-p|-n|--mount*|--pid*|--net*
unshare -r|-Ur|-rm|-Urm|-U|-rU|--map-root-user|--user|-rn|--map-auto|-rmpf
capsh --uid=0|--gid=0|--user=root|--caps=*|--addamb*|--keep*
setpriv --reuid*|--regid*|--inh-caps*|--ambient-caps*|--clear-groups
setcap,capset,filecap
doas sh|bash|-s|su
gosu,su-exec,setuidgid root|0|0:0
runuser -l|-u|-|--login root|-
""",
    "container": """
docker,podman,nerdctl,ctr,crictl,docker-compose,podman-compose --privileged|--privileged=true|--pid=host|--userns=host|--uts=host|--cgroupns=host|--cap-add=*|--cap-add|--device=*|--device|--security-opt=*|--security-opt|--ipc=host
docker,podman,nerdctl -v|--volume|--mount|-v*|--volume=*|--mount=* /:/*|/var/run/docker.sock*|/run/docker.sock*|/:*
docker,podman,nerdctl -v/:/*|-v/var/run*|--volume=/:/*|--volume=/var/run/docker.sock*
docker,podman,nerdctl -H|--host tcp://*|ssh://* !tcp://localhost* !tcp://127.*
docker,podman,nerdctl -H=tcp*|-Htcp*|--host=tcp*|--host=ssh*|--url=*|--url
docker context use|update|import
docker swarm init|join|update|ca|unlock-key
docker plugin install|enable|set|create
lxc,incus config set|device|edit|trust|remove
lxc,incus launch|init|profile security.privileged=true|security.nesting=true|device
lxc,incus launch|init|copy -c|--config security.*|raw.*
lxc,incus profile device|set|edit
lxc,incus exec !ls
machinectl enable|bind|import-*|pull-*
singularity,apptainer exec|shell|run --fakeroot|--writable|-B|--bind
nerdctl,ctr run --privileged
kubectl,oc,k run|create|debug|exec --privileged|--privileged=true|--overrides=*|--overrides|node/*|nodes/*
kubectl,oc,k run --overrides*
kubectl,oc,k debug node/*|--profile=sysadmin|--profile=privileged|--profile=netadmin
kubectl,oc,k auth reconcile
kubectl,oc,k certificate approve
kubectl,oc,k create|apply clusterrolebinding|rolebinding|clusterrole
kubectl,oc,k create|set clusterrolebinding|rolebinding|subject
oc adm policy|prune
kubectl,oc,k exec|attach -it|-ti|-i|-t|--stdin|--tty sh|bash|/bin/sh|/bin/bash|zsh|ash
kubectl,oc,k attach
kubectl,oc,k node-shell|ssh|bpf|trace|sniff
kubectl,oc,k --as|--as=*
kubectl,oc,k impersonate
curl,wget,http --unix-socket|--abstract-unix-socket *docker.sock|*containerd*|*podman*|*crio*|*warden*|*overnight*
curl --unix-socket=*docker*
socat UNIX-CONNECT:*docker*|unix-connect:*docker*|UNIX:*docker*|unix:*docker*|UNIX-CLIENT:*docker*|UNIX-CONNECT:*containerd*|UNIX-CONNECT:*overnight*|UNIX-CONNECT:*warden*
nc,ncat,netcat -U|-lU|-Ul
""",
    "device": """
dd of=/dev/[shvnmdx]*|of=/dev/disk*|of=/dev/rdisk*
hdparm --security-*|--write-sector|--trim-sector*|--dco-*|--fwdownload|-Y
sg_format,sg_sanitize,sg_write_buffer,sedutil-cli,openSeaChest_Erase
nvme format|sanitize|delete-ns|fw-download|fw-commit|create-ns|reset|write
mmc extcsd|writeprotect|bootpart
parted mklabel|mkpart|rm|resizepart|mktable|set
sgdisk -Z|--zap*|-o|-d|-n|--clear|--delete*
sfdisk --delete|--wipe*|-f|--force
mkfs,mke2fs,mkswap,mkdosfs,mkntfs,mkexfatfs,newfs,mkudffs,mkfs.*
wipefs -a|--all|-af|-fa|-o
blkdiscard,shred-disk
badblocks -w|-wsv|-ws|-wv
zpool destroy|labelclear|remove|detach|create|export|offline|split|clear|upgrade|replace
zfs destroy|rollback|unmount|set|rename|recv|receive|promote
btrfs device|dev remove|delete|add
btrfs subvolume|sub|su delete|del
btrfs balance|check|rescue|filesystem --repair|start|resize|chunk-recover|zero-log
lvremove,vgremove,pvremove,pvcreate
lvm lvremove|vgremove|pvremove|pvcreate|lvreduce
mdadm --zero-superblock|--stop|-S|--fail|-f|--remove|-r|--create|-C|--grow|--manage
cryptsetup luksFormat|luksErase|erase|luksKillSlot|luksRemoveKey|format|luksHeaderRestore
ddrescue,dcfldd,dc3dd,pv-of /dev/*
dcfldd,dc3dd of=/dev/*
partclone.restore,fsarchiver,clonezilla,ocs-sr
sgdisk,flashcp,flash_erase,flash_eraseall,nandwrite,mtd_debug,ubiformat
vgck,thin_repair
ipcrm
""",
    "guard": """
claude mcp add|add-json|remove|add-from-claude-desktop|serve|reset-project-choices
claude config set|add|remove|rm
claude plugin*|install|update|migrate-installer|setup-token|login|logout
goose,goose-cli run|session|configure
amp,crush,droid,qwen,qwen-code,kiro,kilo,cline,roo,gh-copilot,codebuddy,plandex,mentat,devin,openhands,swe-agent,sweagent,aichat,llm-agent,sgpt,open-interpreter,auggie,rovodev,windsurf-cli,cursor-agent,codex,gemini,opencode,aider,trae,iflow,pi,hermes,agy,antigravity !--version !--help !-h !-v !list !version !explain !status
gh copilot
dcg allow-once|allow|allowlist|uninstall|install|config|disable|off|pause|bypass|add|remove|init|setup|update|revoke
nah allow|deny|trust|untrust|forget|nap|uninstall|install|hook|config|off|disable|update|wake|run
tirith,dippy,seatbelt,languette,cc-safety-net,claude-guard,agentshield,agent-guard,safety-net,claude-safety-guard,destructive_command_guard off|disable|uninstall|install|allow|config|bypass|pause|trust|hook|init|setup|remove|reset|update|add|unset
""",
    "traces": """
history -c|-d|-w|-cw|-r|-a|-cd
history -c*|-d*
fc -p|-P|-W|-R
set +o history
set +o*history
shopt -u histappend|cmdhist
unset HISTFILE|HISTSIZE|HISTFILESIZE|HISTCONTROL
journalctl --vacuum-*|--rotate|--flush|--relinquish-var
logrotate -f|--force
dmesg -C|--clear|-c|--read-clear
utmpdump -r
last-clear
wevtutil cl
Clear-History,clear-history
log erase
""",
    "destroy": """
postsuper -d|-h|-r
postqueue -f
exim,exim4 -Mrm|-Mg|-Mar
sidekiqctl stop|quiet
pm2 delete|kill|stop|flush|reset|unstartup
supervisorctl stop|shutdown|remove|clear
forever stop|stopall|cleanlogs
sv,s6-svc,runsvctrl stop|down|exit|force-stop|-d|-k
initctl,rc-service,openrc stop|restart
monit stop|unmonitor|quit
jj abandon|undo|op|operation|restore
hg strip|purge|rollback|histedit
hg update|up|co|checkout -C|--clean
hg revert -a|--all|--no-backup
svn revert -R|--recursive|--depth*
svn delete|rm|del http*|svn*|file*
bzr revert|uncommit
fossil undo|revert|purge
p4 obliterate|revert|delete|archive
repo forall|abandon|prune
rsnapshot,snapper,timeshift,zfs-auto-snapshot --delete|delete|--delete-all|rollback|undochange
limactl,colima,lima,tart,orb,orbctl,podman-machine,vmrun,prlctl,utmctl,multipass,vagrant,virsh,qm,pct,lxc,incus,VBoxManage,machinectl delete|destroy|undefine|unregister|unregistervm|purge|remove|rm|prune|factory-reset|deleteVM|closemedium|remove-all-storage
wsl,wsl.exe --unregister|--shutdown|--terminate
adb shell|uninstall|reboot|root|sideload wipe*|rm|pm|reboot*
adb reboot|root|remount|disable-verity|uninstall|emu
fastboot flash|erase|format|oem|flashing|-w|boot|update|set_active
heimdall flash
esptool,esptool.py,avrdude,openocd,dfu-util,st-flash,JLinkExe erase_flash|write_flash|erase|-U|-D|-e|program
""",
}
