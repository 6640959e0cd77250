# Called by Gemini CLI when a turn is over, with JSON on stdin. How the turn ended it does not say:
# one without a word of an answer has failed.
case $(cat) in
*'"prompt_response":"[no response text]"'*) state=failed ;;
*) state=waiting ;;
esac
exec /bin/sh /rumpel/home/.status.sh gemini $state
